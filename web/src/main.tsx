import "./app/ahead";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { redemption } from "./api/clients";
import { App } from "./app/App";
import { startNavigation } from "./app/navigation";
import { redeem } from "./watch/playback";
import "./ui/tokens.css";
import "./ui/base.css";
import "./ui/parts.css";
import "./ui/pages.css";

const { code } = startNavigation();
// The watch page takes the answer up as soon as the player is there.
if (code !== "") void redeem(redemption, code).catch(() => undefined);

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
