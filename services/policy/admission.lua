-- The warm lane, last step: lets a request through whose ticket Envoy itself found good, for this package, in time, and not barred.
-- Everything else is for `policy`, which refuses with a reason. The claims of a good ticket are in headers by now, and only those of one.
-- The control plane puts BARRED before it: ids of sessions and packages, with a space between each two.

local barred = {}
for id in BARRED:gmatch("%S+") do
  barred[id] = true
end

local function good(headers, asked, now_ms)
  local package, session, expires = headers:get("x-reelmesh-package"), headers:get("x-reelmesh-session"), headers:get("x-reelmesh-expires")
  -- Digits only: Envoy writes other numbers short of what they say.
  return package ~= nil and session ~= nil and expires ~= nil and not barred[session] and not barred[package]
    and asked:find(package .. "/", 1, true) == 1
    and expires:find("^%d+$") ~= nil and now_ms < tonumber(expires) * 1000
    and session:find("^pbs_%w+$") ~= nil
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
  if not good(headers, asked, handle:timestamp()) then
    headers:remove("x-reelmesh-ticket")
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
