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

-- A codeword has six positions in each character of the base64url alphabet, the first in its highest bit; a position is the number of a
-- segment, modulo the codeword's length. `services/kit/codewords.py` reads it in the same way.
local VALUES, value = {}, 0
for character in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):gmatch(".") do
  VALUES[character:byte()], value = value, value + 1
end

-- The file of the variant that is this session's, if it asks for a segment of a watermarked picture. No client can ask for it by name.
local function variant(codeword, asked)
  local package, file, number = asked:match("^([^/]+/)(video/[^/]+/(%d+)%.m4s)$")
  if number == nil then
    return asked
  end
  local position = (tonumber(number) - 1) % (#codeword * 6)
  local place = position % 6
  local character = VALUES[codeword:byte((position - place) / 6 + 1)]
  local bit = math.floor(character / 2 ^ (5 - place)) % 2
  return package .. (bit == 1 and ".b/" or ".a/") .. file
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
  local codeword = headers:get("x-reelmesh-codeword")
  if codeword ~= nil then
    headers:remove("x-reelmesh-codeword")
    asked = variant(codeword, asked)
  end
  headers:replace(":path", "/published/" .. asked)
  headers:replace("x-reelmesh-admitted", "1")
end
