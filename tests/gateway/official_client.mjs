// Uploads a file with the official tus-js-client and prints what happened as JSON.
// Arguments: folder of tus-js-client, endpoint, API key, file, bytes of a chunk (0: one request), bytes after which to break off once (0: never).
import { createReadStream, statSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, endpoint, key, file, chunkSize, breakAfter] = process.argv.slice(2);
const tus = createRequire(`${folder}/`)(folder);
const offsets = [];

function start(uploadUrl, breakAt) {
  const upload = new tus.Upload(createReadStream(file), {
    endpoint,
    uploadUrl,
    uploadSize: statSync(file).size,
    chunkSize: Number(chunkSize) || Number.POSITIVE_INFINITY,
    headers: { authorization: `Bearer ${key}` },
    metadata: { filename: "film.mp4", filetype: "video/mp4", title: "Официальный клиент" },
    retryDelays: [100, 300, 1000, 3000],
    onProgress(sent) {
      if (breakAt && sent >= breakAt) {
        breakAt = 0;
        // As a page does that was closed and opened again: another object, which knows only the address and reads the file anew.
        upload.abort().then(() => start(upload.url, 0));
      }
    },
    onAfterResponse(request, response) {
      if (request.getMethod() === "HEAD") offsets.push(Number(response.getHeader("upload-offset")));
    },
    onSuccess() {
      console.log(JSON.stringify({ url: upload.url, offsets }));
    },
    onError(error) {
      console.log(JSON.stringify({ error: String(error), body: error.originalResponse?.getBody() }));
      process.exitCode = 1;
    },
  });
  upload.start();
}

start(undefined, Number(breakAfter));
