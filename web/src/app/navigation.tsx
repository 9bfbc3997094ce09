import {
  useSyncExternalStore,
  type AnchorHTMLAttributes,
  type MouseEvent,
  type ReactElement,
  type ReactNode,
} from "react";

import { credential } from "../session/current";
import { takeFragment } from "./fragment";
import { routeOf } from "./routes";

/** Where the application is: the address, and the one-time code that came with it. */
interface Place {
  readonly pathname: string;
  readonly search: string;
  /** One-time code for the watch page, kept out of the address bar. Empty when there is none. */
  readonly code: string;
  /** Where to go after signing in, as the address says; empty when it does not. */
  readonly next: string;
}

let place: Place = { pathname: "/", search: "", code: "", next: "" };
const listeners = new Set<() => void>();

/** Reads the address bar, taking secrets out of it. */
function arrive(code = ""): void {
  const fragment = takeFragment(window.location, window.history);
  if (fragment.key !== "") credential.acceptKey(fragment.key);
  const { pathname, search } = window.location;
  place = { pathname, search, code: code === "" ? fragment.code : code, next: fragment.next };
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Begins to follow the address bar, and tells where it stands. Called once, before the first render. */
export function startNavigation(): Place {
  arrive();
  const moved = (): void => {
    arrive();
  };
  window.addEventListener("popstate", moved);
  window.addEventListener("hashchange", moved);
  return place;
}

/** Goes to another page of this application. A one-time code travels in memory, never in the address. */
export function navigate(path: string, options: { code?: string; replace?: boolean } = {}): void {
  if (options.replace === true) window.history.replaceState(null, "", path);
  else {
    window.history.pushState(null, "", path);
    window.scrollTo(0, 0);
  }
  arrive(options.code);
}

/** Goes on to a path of this site, be it a page of this application or one that the server makes. There is no way back to the page before. */
export function goOn(path: string): void {
  const { pathname, search } = new URL(path, window.location.origin);
  if (routeOf(pathname, search).page === "missing") window.location.replace(path);
  else navigate(path, { replace: true });
}

/** The place, for components. */
export function usePlace(): Place {
  return useSyncExternalStore(subscribe, () => place);
}

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  readonly href: string;
  readonly children: ReactNode;
}

/** A link to another page of this application. */
export function Link({ href, onClick, children, ...rest }: LinkProps): ReactElement {
  const follow = (event: MouseEvent<HTMLAnchorElement>): void => {
    onClick?.(event);
    const elsewhere = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (event.defaultPrevented || elsewhere) return;
    event.preventDefault();
    navigate(href);
  };
  return (
    <a href={href} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
