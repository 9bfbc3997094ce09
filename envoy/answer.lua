-- What no other filter of Envoy can do on the way out.

-- A stream that is refused after its first byte ends with its status, which the transcoder sends bare. It becomes the last event.
local function frame_status(handle)
  for chunk in handle:bodyChunks() do
    if chunk:length() > 0 and chunk:getBytes(0, 1) == "{" then
      chunk:setBytes("event: refusal\ndata: " .. chunk:getBytes(0, chunk:length()) .. "\n\n")
    end
  end
end

-- Licence servers answer in the form of their key system, refusals too, and say the HTTP status as a parameter of the content type: gRPC
-- gives a body a status of its own nowhere.
local function status_of_body(headers)
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

function envoy_on_response(handle)
  local headers = handle:headers()
  status_of_body(headers)
  local status = headers:get(":status")
  local cached = handle:metadata():get("cache_control")
  if cached ~= nil and (status == "200" or status == "206") then
    headers:replace("cache-control", cached)
  elseif headers:get("cache-control") == nil then
    headers:replace("cache-control", "no-store")
  end
  if headers:get("content-type") == "text/event-stream" then
    frame_status(handle)
  end
end
