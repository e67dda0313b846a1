-- What a round of load saw, as one line of JSON. wrk counts a status above 399 as an error.
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\nresult {"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
