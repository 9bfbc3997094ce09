// Starts players and writes down what they say. What it does for each is what that player's own documentation tells to do for ClearKey.

(() => {
  const CLEARKEY = "org.w3.clearkey";
  const errors = { shaka: [], hls: [], dash: [] };
  const licences = { shaka: [], hls: [], dash: [] };
  const sessions = { shaka: new Map(), hls: new Map(), dash: new Map() };
  const named = { shaka: new Map(), hls: new Map(), dash: new Map() }; // key id → licence
  const running = {};
  const licenceUrls = {};

  const videoOf = (name) => document.getElementById(name);

  // Which player a decryption module belongs to is told when it is put into that player's video element.
  const owners = new Map();
  const setMediaKeys = HTMLMediaElement.prototype.setMediaKeys;
  HTMLMediaElement.prototype.setMediaKeys = function (keys) {
    if (keys !== null) owners.set(keys, this.id);
    return setMediaKeys.call(this, keys);
  };
  const createSession = MediaKeys.prototype.createSession;
  MediaKeys.prototype.createSession = function (...type) {
    const session = createSession.apply(this, type);
    const update = session.update.bind(session);
    session.update = (response) => {
      const licence = JSON.parse(new TextDecoder().decode(response));
      const owner = owners.get(this) ?? "";
      if (owner in licences) {
        licences[owner].push({ kids: licence.keys.map((key) => key.kid), licence_id: licence.licence_id ?? "" });
        sessions[owner].set(session, licence);
        remember(owner, licence);
      }
      return update(response);
    };
    return session;
  };

  function remember(name, licence) {
    if (licence.licence_id === undefined) return;
    for (const { kid } of licence.keys) named[name].set(kid, licence.licence_id);
  }

  // A licence of ClearKey says in members of its own when to ask again; no decryption module does it by itself.
  async function renew(name) {
    const ids = [];
    for (const [session, licence] of [...sessions[name]]) {
      const kids = licence.keys.map((key) => key.kid);
      const asked = { kids, type: "temporary", renewal_of: named[name].get(kids[0]) };
      const answer = await fetch(licenceUrls[name], { method: "POST", body: JSON.stringify(asked) });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      const body = await answer.arrayBuffer();
      await session.update(body);
      ids.push(JSON.parse(new TextDecoder().decode(body)).licence_id);
    }
    return ids;
  }

  const parsed = (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  };

  const starts = {
    async shaka(manifest, licence, video) {
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      running.shaka = player;
      const failed = (error) => {
        // LICENSE_REQUEST_FAILED wraps the error of the request: [address, status, body, headers, type].
        const request = error.data?.[0]?.data ?? [];
        errors.shaka.push({
          code: error.code,
          fatal: error.severity === shaka.util.Error.Severity.CRITICAL,
          status: request[1] ?? 0,
          body: parsed(request[2] ?? ""),
        });
      };
      player.addEventListener("error", (event) => failed(event.detail));
      await player.attach(video);
      player.configure({ drm: { servers: { [CLEARKEY]: licence } } });
      await player.load(manifest).catch(failed);
    },

    hls(manifest, licence, video) {
      const player = new Hls({ emeEnabled: true, drmSystems: { [CLEARKEY]: { licenseUrl: licence } } });
      running.hls = player;
      player.on(Hls.Events.ERROR, (_, data) => {
        const request = data.networkDetails;
        const answer = request instanceof XMLHttpRequest && request.response instanceof ArrayBuffer;
        errors.hls.push({
          code: data.details,
          fatal: data.fatal,
          status: data.response?.code ?? 0,
          body: answer ? parsed(new TextDecoder().decode(request.response)) : null,
        });
      });
      player.loadSource(manifest);
      player.attachMedia(video);
    },

    dash(manifest, licence, video) {
      const player = dashjs.MediaPlayer().create();
      running.dash = player;
      player.initialize();
      player.on(dashjs.MediaPlayer.events.ERROR, ({ error }) => {
        const { responseCode, serverResponse } = error.data ?? {};
        errors.dash.push({ code: error.code, fatal: true, status: responseCode ?? 0, body: serverResponse ?? null });
      });
      // It hands the keys on to the decryption module, and nothing else of the licence.
      player.registerLicenseResponseFilter(({ data }) => {
        remember("dash", data);
        return Promise.resolve();
      });
      player.setProtectionData({ [CLEARKEY]: { serverURL: licence } });
      player.attachView(video);
      player.attachSource(manifest);
    },
  };

  const stops = {
    shaka: (player) => player.destroy(),
    hls: (player) => player.destroy(),
    dash: (player) => player.destroy(),
  };

  window.players = {
    errors,
    licences,
    renew,
    start(name, manifest, licence) {
      const video = videoOf(name);
      licenceUrls[name] = licence;
      // With a key missing, play() may never settle.
      Promise.resolve(starts[name](manifest, licence, video)).then(
        () => video.play().catch(() => undefined),
        (error) => errors[name].push({ code: String(error), fatal: true, status: 0, body: null }),
      );
    },
    async stop(name) {
      await stops[name](running[name]);
      const video = videoOf(name);
      const fresh = video.cloneNode();
      video.replaceWith(fresh);
      errors[name].length = 0;
      licences[name].length = 0;
      sessions[name].clear();
      named[name].clear();
    },
  };
})();
