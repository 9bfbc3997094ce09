-- The warm lane, first step, and the head of edge.lua where there is such a lane: takes the path of a segment apart. What it does not recognise
-- at once it leaves alone, and `policy` is asked. What edge.lua keeps in metadata, which is dear, this keeps in headers: no client can send one
-- that begins with `x-reelmesh-`.

local LONGEST_PATH = 8192
local LONGEST_TICKET = 4096
-- A package's id, a slash, and a file whose every part may be logged.
local LONGEST_ASKED = 31 + 40
local BASE64URL = "[%w_%-]"

-- A ticket's header as `policy` writes it: {"alg":"ES256","kid":"<16 characters>","typ":"playback+jwt"}. Beginning and end are the same in all of
-- them. Algorithm and key are looked at by Envoy, the type is not.
local HEADER = "eyJhbGciOiJFUzI1NiIsImtpZCI6I" .. BASE64URL:rep(23) .. "LCJ0eXAiOiJwbGF5YmFjaytqd3QifQ"
-- The last character of an ES256 signature has two bits to say and four idle ones, which must be zero (RFC 4648 §3.5): `policy` sees to
-- that, Envoy does not, and one ticket would pass in 16 spellings.
local SEGMENT = "^/p/(" .. HEADER .. "%." .. BASE64URL .. "+%." .. BASE64URL .. "+[AQgw])/([%w_]+/[%w_%-][%w%._/%-]*)$"

-- Whether it is one. Then its ticket is in `x-reelmesh-ticket`, its package and file are in `x-reelmesh-asked`.
function take_ticket(headers, path)
  local method = headers:get(":method")
  if (method ~= "GET" and method ~= "HEAD") or #path > LONGEST_PATH then
    return false
  end
  local query = path:find("?", 1, true)
  local ticket, asked = (query and path:sub(1, query - 1) or path):match(SEGMENT)
  -- No empty parts, none that begins with a dot; manifests, licences, keys and heartbeats are for others to judge.
  if ticket == nil or #ticket > LONGEST_TICKET or #asked > LONGEST_ASKED or asked:find("//", 1, true) or asked:find("/.", 1, true)
    or asked:find("/$") or asked:find("%.mpd$") or asked:find("%.m3u8$")
    or asked:find("^[^/]+/key/") or asked:find("^[^/]+/licence/") or asked:find("^[^/]+/heartbeat$") then
    return false
  end
  headers:replace("x-reelmesh-ticket", ticket)
  headers:replace("x-reelmesh-asked", asked)
  return true
end
