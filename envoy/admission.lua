-- The warm lane, last step: lets a request through whose ticket Envoy itself found good, for this package, in time, and not barred.
-- Everything else is for `policy`, which refuses with a reason.

local CLAIMS = { "sub", "pkg", "org", "jti" }

local function good(claims, header, package, now_ms)
  for _, name in ipairs(CLAIMS) do
    if type(claims[name]) ~= "string" then
      return false
    end
  end
  return header["typ"] == "playback+jwt" and claims["pkg"] == package
    and type(claims["iat"]) == "number" and type(claims["exp"]) == "number" and now_ms < claims["exp"] * 1000
end

function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("x-reelmesh-ticket")
  local metadata = handle:streamInfo():dynamicMetadata()
  local asked = metadata:get("warm")
  local verified = metadata:get("envoy.filters.http.jwt_authn")
  local barring = metadata:get("envoy.filters.http.rbac")
  if asked == nil or verified == nil or verified["claims"] == nil or verified["header"] == nil or barring == nil then
    return
  end
  if barring["shadow_engine_result"] ~= "allowed"
    or not good(verified["claims"], verified["header"], asked["package"], handle:timestamp()) then
    return
  end
  headers:replace(":path", "/published/" .. asked["package"] .. "/" .. asked["file"])
  metadata:set("edge", "authorized", true)
end
