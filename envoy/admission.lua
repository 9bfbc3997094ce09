-- The warm lane, last step: lets a request through whose ticket Envoy itself found good, for this package, in time, and not barred.
-- Everything else is for `policy`, which refuses with a reason. The claims of a good ticket are in headers by now, and only those of one.

local function good(headers, asked, now_ms)
  local package, expires = headers:get("x-reelmesh-package"), headers:get("x-reelmesh-expires")
  return package ~= nil and asked:sub(1, #package + 1) == package .. "/"
    -- Digits only: Envoy writes other numbers short of what they say.
    and expires ~= nil and expires:find("^%d+$") ~= nil and now_ms < tonumber(expires) * 1000
    and (headers:get("x-reelmesh-session") or ""):find("^pbs_%w+$") ~= nil
    and (headers:get("x-reelmesh-organisation") or ""):find("^org_%w+$") ~= nil
    and headers:get("x-reelmesh-ticket-id") ~= nil and headers:get("x-reelmesh-issued") ~= nil
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local asked = headers:get("x-reelmesh-asked")
  if asked == nil then
    return
  end
  headers:remove("x-reelmesh-ticket")
  if not good(headers, asked, handle:timestamp()) then
    return
  end
  local barring = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.rbac")
  if barring == nil or barring["shadow_engine_result"] ~= "allowed" then
    return
  end
  headers:replace(":path", "/published/" .. asked)
  headers:replace("x-reelmesh-admitted", "1")
end
