-- The head of those that set the status of an answer.

-- Licence servers answer in the form of their key system, refusals too, and say the HTTP status as a parameter of the content type: gRPC
-- gives a body a status of its own nowhere. `policy` says so that it refuses for now, since Envoy throws away what is said with a 5xx.
function status_of_body(headers)
  local content_type = headers:get("content-type")
  local bare, status = (content_type or ""):match("^(.-); status=(%d%d%d)")
  if bare == nil then
    return
  end
  local wait, reason = content_type:match("; retry%-after=(%d+)"), content_type:match("; reason=([A-Z0-9_]+)")
  headers:replace("content-type", bare)
  headers:replace(":status", status)
  if wait ~= nil then
    headers:replace("retry-after", wait)
  end
  if reason ~= nil then
    headers:replace("x-reelmesh-reason", reason)
  end
end
