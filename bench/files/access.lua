-- The key, then the bucket: what stands before every answer of the nginx peer.
local tenant = tenants[ngx.var.http_x_api_key]
if not tenant then return ngx.exit(401) end
local store = require("nginx.redis"):new()
store:set_timeout(1000)
if not store:connect("127.0.0.1", store_port) then return ngx.exit(503) end
if not bucket_sha then bucket_sha = store:script("load", bucket) end
local decision = store:evalsha(bucket_sha, 1, "nginx:" .. tenant, limits[tenant][1], limits[tenant][2], 1)
if not decision then return ngx.exit(503) end
store:set_keepalive(60000, 128)
if decision[1] == 0 then return ngx.exit(429) end
ngx.header["X-RateLimit-Remaining"] = decision[2]
