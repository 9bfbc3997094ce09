-- The warm lane, last step: lets a request through whose ticket Envoy itself found good, for this package, in time, and not barred.
-- Everything else is for `policy`, which refuses with a reason. The claims of a good ticket are in a header by now, and only those of one.
-- The control plane puts BARRED before it: ids of sessions and packages, with a space between each two.

local SLASH, COMMA = ("/"):byte(), (","):byte()

local barred = {}
for id in BARRED:gmatch("%S+") do
  barred[id] = true
end

-- Session, package, organisation, the ticket's own id, when it was issued, when it ends, and a codeword if it has one. Digits only: Envoy writes
-- other numbers short of what they say. A claim that is missing leaves its place to the next, which does not look like it; and there are as many
-- claims as commas tell, so that none can say what another should.
local CLAIMS = "^(pbs_%w+),(pkg_%w+),org_%w+,[%w_%-]+,%d+,(%d+)(,?[%w_%-]*)$"

-- Whether a request may pass, and the codeword of its ticket, with a comma before it, or nothing.
local function admitted(headers, asked, now_ms)
  local session, package, expires, codeword = (headers:get("x-reelmesh-claims") or ""):match(CLAIMS)
  local good = session ~= nil and not barred[session] and not barred[package]
    and asked:find(package, 1, true) == 1 and asked:byte(#package + 1) == SLASH
    and now_ms < tonumber(expires) * 1000
    and (codeword == "" or (codeword:byte() == COMMA and #codeword > 1))
    and headers:getNumValues("x-reelmesh-claims") == (codeword == "" and 6 or 7)
  return good, codeword
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
  local good, codeword = admitted(headers, asked, handle:timestamp())
  if not good then
    headers:remove("x-reelmesh-ticket")
    return
  end
  if codeword ~= "" then
    asked = variant(codeword:sub(2), asked)
  end
  headers:replace(":path", "/published/" .. asked)
  headers:replace("x-reelmesh-admitted", "1")
end
