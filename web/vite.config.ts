import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const mesh = process.env.REELMESH_URL ?? "http://127.0.0.1:8080";

/** Takes the web fonts out of the player's style sheet: this product asks no other host for anything. */
const noForeignFonts: Plugin = {
  name: "no-foreign-fonts",
  enforce: "pre",
  transform(code, id) {
    if (!/shaka-player\/dist\/controls.*\.css/.test(id)) return undefined;
    const own = code.replaceAll(/\/\*(?!!)[\s\S]*?\*\//g, "").replaceAll(/@font-face\s*\{[^}]*\}/g, "");
    if (/url\(\s*["']?(https?:)?\/\//.test(own)) throw new Error(`${id} asks another host for something`);
    return own;
  },
};

export default defineConfig({
  plugins: [react(), noForeignFonts],
  resolve: {
    alias: { "@gen": here("../gen/web") },
    // The generated code lives outside this folder, where no node_modules is found.
    dedupe: ["@bufbuild/protobuf"],
  },
  build: {
    target: "es2022",
    // Nothing is inlined, so that a strict Content-Security-Policy needs no exceptions.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { main: here("index.html"), docs: here("docs.html") },
    },
    // Shaka Player and the page of the interface are one large piece each, loaded by those who watch or look things up.
    chunkSizeWarningLimit: 2000,
  },
  server: {
    host: "127.0.0.1",
    // `npm run dev` shows the pages from source against a mesh that runs already.
    proxy: {
      "^/(reelmesh\\.|v1/|files/|p/|openapi)": { target: mesh },
    },
  },
});
