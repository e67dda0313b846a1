// The peer that a Node team writes first: fastify, its proxy and its rate limit on Redis.
// Settings come from the environment: BENCH_PORT, BENCH_STORE, BENCH_UPSTREAM, BENCH_KEY,
// BENCH_SPENT_KEY.
import proxy from '@fastify/http-proxy'
import rateLimit from '@fastify/rate-limit'
import fastify from 'fastify'
import Redis from 'ioredis'

const limits = new Map([
  [process.env.BENCH_KEY, 1_000_000_000],
  [process.env.BENCH_SPENT_KEY, 1],
])
const app = fastify({ logger: false })

app.addHook('onRequest', async (request, reply) => {
  if (!limits.has(request.headers['x-api-key'])) {
    await reply.code(401).send({ error: 'unknown key' })
  }
})
await app.register(rateLimit, {
  redis: new Redis({ port: Number(process.env.BENCH_STORE), host: '127.0.0.1' }),
  keyGenerator: (request) => request.headers['x-api-key'],
  max: (_, key) => limits.get(key) ?? 1,
  timeWindow: '1 hour',
})
await app.register(proxy, {
  upstream: `http://127.0.0.1:${process.env.BENCH_UPSTREAM}`,
  undici: { connections: 128, pipelining: 1 },
})
await app.listen({ port: Number(process.env.BENCH_PORT), host: '127.0.0.1' })
