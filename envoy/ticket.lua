-- The warm lane, first step, and the head of edge.lua where there is such a lane: takes the path of a segment apart. What it does not recognise
-- at once it leaves alone, and `policy` is asked. What edge.lua keeps in metadata, which is dear, this keeps in headers: no client can send one
-- that begins with `x-reelmesh-`.

local LONGEST_PATH = 8192
local LONGEST_TICKET = 4096
-- A package's id, a slash, and a file whose every part may be logged.
local LONGEST_ASKED = 31 + 40

-- A ticket's header as `policy` writes it: {"alg":"ES256","kid":"<16 characters>","typ":"playback+jwt"}. Beginning and end are the same in all of
-- them. Algorithm and key are looked at by Envoy, the type is not.
local HEADER_BEGINS, HEADER_ENDS, HEADER_LENGTH = "eyJhbGciOiJFUzI1NiIsImtpZCI6I", "LCJ0eXAiOiJwbGF5YmFjaytqd3QifQ", 82
local SIGNATURE_LENGTH = 86
local ASKED = "^[%w_]+/[%w_%-][%w%._/%-]*$"

-- Whether a ticket is spelt as `policy` spells it (but for the other signature that ECDSA grants). What the signature covers need not be
-- looked at: another spelling has another one. The signature itself could be spelt otherwise: its last character has two bits to say and
-- four idle ones, which must be zero (RFC 4648 §3.5). `policy` sees to that, Envoy does not, and one ticket would pass in 16 spellings.
local function well_spelt(ticket)
  local length = #ticket
  local signature = length - SIGNATURE_LENGTH
  return length <= LONGEST_TICKET
    and ticket:find(".", 1, true) == HEADER_LENGTH + 1
    and ticket:sub(1, #HEADER_BEGINS) == HEADER_BEGINS
    and ticket:sub(HEADER_LENGTH - #HEADER_ENDS + 1, HEADER_LENGTH) == HEADER_ENDS
    and ticket:find(".", HEADER_LENGTH + 2, true) == signature
    and ticket:find("^[%w_%-]+[AQgw]$", signature + 1) ~= nil
end

-- Whether it is one. Then its ticket is in `x-reelmesh-ticket`, its package and file are in `x-reelmesh-asked`.
function take_ticket(headers, path)
  local method = headers:get(":method")
  if (method ~= "GET" and method ~= "HEAD") or #path > LONGEST_PATH then
    return false
  end
  local slash = path:find("/", 4, true)
  if slash == nil then
    return false
  end
  local query = path:find("?", slash, true)
  local ticket, asked = path:sub(4, slash - 1), path:sub(slash + 1, query and query - 1)
  -- No empty parts, none that begins with a dot; manifests, licences, keys and heartbeats are for others to judge.
  if #asked > LONGEST_ASKED or not well_spelt(ticket) or not asked:find(ASKED) or asked:find("//", 1, true) or asked:find("/.", 1, true)
    or asked:find("/$") or asked:find("%.mpd$") or asked:find("%.m3u8$")
    or asked:find("^[^/]+/key/") or asked:find("^[^/]+/licence/") or asked:find("^[^/]+/heartbeat$") then
    return false
  end
  headers:replace("x-reelmesh-ticket", ticket)
  headers:replace("x-reelmesh-asked", asked)
  return true
end
