-- Carries out what `policy` said of a request; it speaks HTTP/1.1, which has no way to say these two things.

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get("x-reelmesh-path")
  if path ~= nil then
    headers:replace(":path", path)
    headers:remove("x-reelmesh-path")
  end
end

function envoy_on_response(handle)
  status_of_body(handle:headers())
end
