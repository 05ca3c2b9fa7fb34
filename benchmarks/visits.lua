-- The requests of a load, for wrk: wrk … --script visits.lua URL -- FILE
-- FILE has the Cookie header of one visitor a line. The visitors come in turn: there are more of them than connections,
-- so that no two requests under way are the same visitor's, and a change contends with no other.

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

function done(summary, latency, _)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "errors": %d}\n', summary.requests, summary.duration / 1e6, failed
   ))
end
