-- The warm lane, first step: takes a playback path apart. What it does not recognise at once it leaves alone, and `policy` is asked.

local LONGEST_PATH = 8192
local LONGEST_TICKET = 4096
-- The last character of an ES256 signature has two bits to say and four idle ones, which must be zero (RFC 4648 §3.5): `policy` sees to
-- that, Envoy does not, and one ticket would pass in 16 spellings.
local WHOLE = "^/p/([%w_%-]+%.[%w_%-]+%.[%w_%-]+[AQgw])/([%w_]+)/([%w_%-][%w%._/%-]*)$"

function envoy_on_request(handle)
  local headers = handle:headers()
  local method = headers:get(":method")
  if method ~= "GET" and method ~= "HEAD" then
    return
  end
  local path = headers:get(":path")
  if #path > LONGEST_PATH then
    return
  end
  local ticket, package, file = path:match("^[^?]*"):match(WHOLE)
  -- No empty segments, none that begins with a dot; manifests, licences, keys and heartbeats are for others to judge.
  if ticket == nil or #ticket > LONGEST_TICKET or file:find("//", 1, true) or file:find("/.", 1, true) or file:find("/$")
    or file:find("%.mpd$") or file:find("%.m3u8$")
    or file:find("^key/") or file:find("^licence/") or file == "heartbeat" then
    return
  end
  headers:replace("x-reelmesh-ticket", ticket)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("warm", "package", package)
  metadata:set("warm", "file", file)
end
