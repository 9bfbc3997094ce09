-- Lets a request go on by the path that `policy` named: a header, as HTTP/1.1 gives no other way to say so.

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get("x-reelmesh-path")
  if path ~= nil then
    headers:replace(":path", path)
    headers:remove("x-reelmesh-path")
  end
end
