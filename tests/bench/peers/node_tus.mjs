// The official tus server with its file store, as its readme sets it up. Arguments: port, folder.
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [port, directory] = process.argv.slice(2);
const server = new Server({ path: "/node", datastore: new FileStore({ directory }) });
server.listen({ host: "127.0.0.1", port: Number(port) });
