import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./app/App";
import { startNavigation } from "./app/navigation";
import "./ui/tokens.css";
import "./ui/base.css";
import "./ui/parts.css";
import "./ui/pages.css";

startNavigation();

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
