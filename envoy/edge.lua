-- What no other filter of Envoy can do on the way in. It runs before all others.

local WELL_FORMED = "^[%w_%-]+$"
local LONGEST_HARMLESS_SEGMENT = 40

-- A client may choose its own correlation id as long as it could not be anything else. Lua has no counted patterns.
local function set_correlation_id(headers)
  local offered = headers:get("x-correlation-id")
  if offered == nil or #offered < 8 or #offered > 64 or not offered:find(WELL_FORMED) then
    headers:replace("x-correlation-id", (headers:get("x-request-id"):gsub("-", "")))
  end
end

-- The path as it may be logged: without the query, without the ticket of a playback URL or the token of a preview, and without anything that is too
-- long to be one of our ids, wherever it stands.
local function loggable(path)
  local bare = path:match("^[^?#]*")
  local playback, rest = bare:match("^(/[pPvV]/)[^/]*(.*)$")
  if playback ~= nil then
    bare = playback .. "-" .. rest
  end
  return (bare:gsub("[^/]+", function(segment)
    if #segment > LONGEST_HARMLESS_SEGMENT then
      return "-"
    end
  end))
end

-- gRPC takes fewer header names than HTTP (RFC 9110 section 5.6.2), and printable ASCII only as values; it would answer INTERNAL by itself.
-- What it could not take goes no further. Callers who do not speak gRPC have no use for its own headers but the deadline.
local function drop_what_grpc_cannot_take(headers, grpc)
  local dropped = {}
  for name, value in pairs(headers) do
    if name:sub(1, 1) ~= ":" then
      local own = name:find("^grpc%-") ~= nil and name ~= "grpc-timeout" or name:sub(-4) == "-bin"
      if name:find("[^0-9a-z_.%-]") or value:find("[^ -~]") or (own and not grpc) then
        dropped[#dropped + 1] = name
      end
    end
  end
  for _, name in ipairs(dropped) do
    headers:remove(name)
  end
end

-- Cookies that `policy` may see: those that are credentials for playback. All others are nobody's business there.
local OURS = { ["cta-common-access-token"] = true, ["reelmesh_ticket"] = true }

local function playback_cookies(headers)
  local cookies = headers:get("cookie")
  if cookies == nil then
    return
  end
  local found = {}
  for name, value in cookies:gmatch("%s*([^=;]+)=([^;]*)") do
    if OURS[name:lower()] then
      found[#found + 1] = name .. "=" .. value
    end
  end
  if #found > 0 then
    headers:replace("x-reelmesh-cookies", table.concat(found, "; "))
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  set_correlation_id(headers)
  if path:find("^/p/") then
    -- Segments are nine of ten requests: they bear nothing more than they need. With a ticket in the path nobody looks at cookies.
    if take_ticket ~= nil and take_ticket(headers, path) then
      return
    end
    playback_cookies(headers)
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("edge", "method", headers:get(":method"))
  metadata:set("edge", "path", loggable(path))
  -- A proof of possession names the request as its sender knows it, which the transcoder makes another (RFC 9449 §4.3).
  if path:find("^/v1/") or path:find("^/files/") or path:find("^/p/[^/]*/[^/]*/licence/") then
    headers:replace("x-reelmesh-rest", headers:get(":method") .. " " .. path:match("^[^?#]*"))
  end
  -- Asked here, before the transcoder makes every call look like one.
  local content_type = headers:get("content-type")
  local grpc = content_type ~= nil and content_type:find("^application/grpc") ~= nil
  metadata:set("edge", "grpc", grpc)
  if not path:find("^/p/") then
    drop_what_grpc_cannot_take(headers, grpc)
  end
  if grpc then
    metadata:set("edge", "form", content_type:find("^application/grpc%-web") and "grpc-web" or "grpc")
  end
  local file = handle:metadata():get("file")
  if file ~= nil then
    headers:replace(":path", file)
  end
end
