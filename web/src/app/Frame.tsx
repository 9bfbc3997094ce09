import type { ReactElement, ReactNode } from "react";

import { credential, useCredential } from "../session/current";
import { Button } from "../ui/Button";
import { Mark } from "../ui/icons";
import { Announcer } from "./announcer";
import { Link } from "./navigation";
import type { Route } from "./routes";

const PAGES = [
  { page: "library", href: "/", name: "Library" },
  { page: "upload", href: "/upload", name: "Upload" },
] as const;

/** What stands around every page. Viewers who came by a link get no navigation that would only refuse them. */
export function Frame({ route, children }: { route: Route; children: ReactNode }): ReactElement {
  const { key } = useCredential();
  const navigable = key !== "" || route.page !== "watch";
  return (
    <div className="frame" data-page={route.page}>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <header className="bar">
        <Link href="/" className="brand">
          <Mark />
          Reelmesh
        </Link>
        {navigable ? (
          <nav aria-label="Main">
            {PAGES.map(({ page, href, name }) => (
              <Link key={page} href={href} aria-current={route.page === page ? "page" : undefined}>
                {name}
              </Link>
            ))}
          </nav>
        ) : null}
        {key === "" ? null : (
          <Button
            look="quiet"
            icon="key"
            className="sign-out"
            data-testid="sign-out"
            onClick={() => {
              credential.forget();
            }}
          >
            Sign out
          </Button>
        )}
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <Announcer />
    </div>
  );
}
