/** A page of this application. */
export type Route =
  | { readonly page: "library" }
  | { readonly page: "upload" }
  | { readonly page: "authorize" }
  | { readonly page: "activate" }
  | { readonly page: "sso" }
  | { readonly page: "watch"; readonly assetId: string; readonly format: Format }
  | { readonly page: "missing" };

/** How the player is fed. */
export type Format = "dash" | "hls";

const ASSET_ID = /^ast_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/** Whether a text is an asset id as the contracts define it. */
export function isAssetId(text: string): boolean {
  return ASSET_ID.test(text);
}

/** Finds the page of an address. */
export function routeOf(pathname: string, search: string): Route {
  const parts = pathname.split("/").filter((part) => part !== "");
  const [first, second] = parts;
  if (first === undefined) return { page: "library" };
  if (first === "upload" && parts.length === 1) return { page: "upload" };
  if ((first === "authorize" || first === "activate" || first === "sso") && parts.length === 1) return { page: first };
  if (first === "watch" && parts.length === 2 && second !== undefined && isAssetId(second)) {
    const format = new URLSearchParams(search).get("format") === "hls" ? "hls" : "dash";
    return { page: "watch", assetId: second, format };
  }
  return { page: "missing" };
}

/** The address of an asset's watch page. */
export function watchPath(assetId: string, format: Format = "dash"): string {
  return `/watch/${assetId}${format === "hls" ? "?format=hls" : ""}`;
}
