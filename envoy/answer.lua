-- What no other filter of Envoy can do on the way out.

-- A stream that is refused after its first byte ends with its status, which the transcoder sends bare. It becomes the last event.
local function frame_status(handle)
  for chunk in handle:bodyChunks() do
    if chunk:length() > 0 and chunk:getBytes(0, 1) == "{" then
      chunk:setBytes("event: refusal\ndata: " .. chunk:getBytes(0, chunk:length()) .. "\n\n")
    end
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
