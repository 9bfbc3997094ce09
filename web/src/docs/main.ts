import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = (): void => void document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const domNode = document.getElementById("docs");
if (domNode === null) throw new Error("docs.html has no #docs");
SwaggerUI({
  domNode,
  url: "/openapi.json",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayOperationId: false,
  docExpansion: "none",
  filter: true,
  // An API key that someone tries operations with is forgotten with the page.
  persistAuthorization: false,
  // It would show the description to another host.
  validatorUrl: null,
});
