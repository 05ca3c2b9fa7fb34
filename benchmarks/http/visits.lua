-- The requests of a load, for wrk: wrk … --script visits.lua URL -- FILE
-- FILE has the cookies of one visitor a line. The visitors come in turn and not at random: there are more of them than
-- connections, so that no two requests under way are the same visitor's, and a change contends with no other.
-- One thread (wrk -t1) is assumed: another one would go through the same visitors.

local requests = {}
local visitor = 0

function init(arguments)
   for cookies in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("GET", nil, {["Host"] = wrk.headers["Host"], ["Cookie"] = cookies})
   end
end

function request()
   visitor = visitor % #requests + 1
   return requests[visitor]
end

-- The same numbers as in wrk's own report, unrounded; the last line that it prints.
function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, '
         .. '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status
   ))
end
