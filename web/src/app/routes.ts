/** A page of this application. */
export type Route =
  | { readonly page: "library" }
  | { readonly page: "upload" }
  | { readonly page: "authorize" }
  | { readonly page: "activate" }
  | { readonly page: "sso" }
  | { readonly page: "sign-out" }
  | { readonly page: "withdraw" }
  | { readonly page: "paid"; readonly checkoutId: string }
  | { readonly page: "proved"; readonly ageCheckId: string }
  | { readonly page: "watch"; readonly assetId: string; readonly format: Format }
  | { readonly page: SessionPage }
  | { readonly page: "account" }
  | { readonly page: "report" }
  | { readonly page: "notice" }
  | { readonly page: "report-leak" }
  | { readonly page: "missing" };

/** A page on which people sign in. */
export type SessionPage = "sign-in" | "register" | "forgot-password";

/** How the player is fed. */
export type Format = "dash" | "hls";

const SINGLE = [
  "upload",
  "sign-in",
  "register",
  "forgot-password",
  "account",
  "report",
  "notice",
  "report-leak",
  "authorize",
  "activate",
  "sso",
  "sign-out",
  "withdraw",
] as const;
const CHECKOUT_ID = /^chk_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
const AGE_CHECK_ID = /^agc_[0-7][0-9a-hjkmnp-tv-z]{25}$/;
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
  const single = SINGLE.find((page) => page === first);
  if (single !== undefined && parts.length === 1) return { page: single };
  if (first === "watch" && parts.length === 2 && second !== undefined && isAssetId(second)) {
    const format = new URLSearchParams(search).get("format") === "hls" ? "hls" : "dash";
    return { page: "watch", assetId: second, format };
  }
  if (first === "paid" && parts.length === 2 && second !== undefined && CHECKOUT_ID.test(second)) {
    return { page: "paid", checkoutId: second };
  }
  if (first === "proved" && parts.length === 2 && second !== undefined && AGE_CHECK_ID.test(second)) {
    return { page: "proved", ageCheckId: second };
  }
  return { page: "missing" };
}

/** The address of an asset's watch page. */
export function watchPath(assetId: string, format: Format = "dash"): string {
  return `/watch/${assetId}${format === "hls" ? "?format=hls" : ""}`;
}

/** The address of the form for notices, about what is being watched where something is. */
export function reportPath(route: Route): string {
  return route.page === "watch" ? `/report?about=${route.assetId}` : "/report";
}
