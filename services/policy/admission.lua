-- The warm lane, last step: lets a request through whose ticket Envoy itself found good, for this package, in time, and not barred.
-- Everything else is for `policy`, which refuses with a reason. The claims of a good ticket are in a header by now, and only those of one.
-- The control plane puts BARRED before it: ids of sessions and packages, with a space between each two.

local barred = {}
for id in BARRED:gmatch("%S+") do
  barred[id] = true
end

-- Characters of base64url (RFC 4648 section 5) by what they stand for.
local VALUES, value = {}, 0
for character in ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):gmatch(".") do
  VALUES[character:byte()], value = value, value + 1
end

local function decoded(text)
  local bytes, held, size = {}, 0, 1
  for place = 1, #text do
    held, size = held * 64 + VALUES[text:byte(place)], size * 64
    if size >= 256 then
      size = size / 256
      bytes[#bytes + 1] = string.char(math.floor(held / size))
      held = held % size
    end
  end
  return table.concat(bytes)
end

-- Claims as `policy` writes them: whatever is spelt otherwise is left to it. Envoy looked at who issued them.
local CLAIMS = '^{"iss":"[^"]*","sub":"(pbs_%w+)","pkg":"(pkg_%w+)","org":"org_%w+","iat":%d+,"exp":(%d+),"jti":"[%w_%-]+"(.*)}$'
local CODEWORD = '^,"wm":"([%w_%-]+)"$'

-- What a good ticket admits to: the package, with a slash behind it, when it ends, and a codeword if it has one; false when to nothing here.
local function read(claims)
  local session, package, expires, rest = decoded(claims):match(CLAIMS)
  local codeword = rest and rest:match(CODEWORD)
  if session == nil or barred[session] or barred[package] or (rest ~= "" and codeword == nil) then
    return false
  end
  return { below = package .. "/", ends_ms = tonumber(expires) * 1000, codeword = codeword }
end

-- What was read in the claims of the latest tickets. It says nothing of whether they are good: that Envoy finds out for each request.
local MOST = 10000
local known, count = {}, 0

local function admission(claims)
  local found = known[claims]
  if found == nil then
    if count == MOST then
      known, count = {}, 0
    end
    found = read(claims)
    known[claims], count = found, count + 1
  end
  return found
end

-- A codeword has six positions in each character of the base64url alphabet, the first in its highest bit; a position is the number of a
-- segment, modulo the codeword's length. `services/kit/codewords.py` reads it in the same way.
--
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
  local claims = headers:get("x-reelmesh-claims")
  local admitted = claims ~= nil and admission(claims)
  if not admitted or asked:find(admitted.below, 1, true) ~= 1 or handle:timestamp() >= admitted.ends_ms then
    headers:remove("x-reelmesh-ticket")
    return
  end
  if admitted.codeword ~= nil then
    asked = variant(admitted.codeword, asked)
  end
  headers:replace(":path", "/published/" .. asked)
  headers:replace("x-reelmesh-admitted", "1")
end
