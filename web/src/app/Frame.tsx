import type { ReactElement, ReactNode } from "react";

import { nameOf, useAccount } from "../session/account";
import { credential, useSignedIn } from "../session/current";
import { may } from "../session/signedIn";
import { Button } from "../ui/Button";
import { Icon, Mark } from "../ui/icons";
import { Announcer } from "./announcer";
import { Link } from "./navigation";
import { reportPath, type Route } from "./routes";

const PAGES = [
  { page: "library", href: "/", name: "Library", permission: "" },
  { page: "upload", href: "/upload", name: "Upload", permission: "uploads.write" },
] as const;

/** Who is signed in, and the way out. */
function Whoever({ route }: { route: Route }): ReactElement | null {
  const { who } = useSignedIn();
  const account = useAccount();
  if (who === "nobody") return null;
  const name = account === null ? "Account" : nameOf(account);
  return (
    <div className="whoever">
      {who === "person" ? (
        <Link
          href="/account"
          className="button quiet person"
          aria-current={route.page === "account" ? "page" : undefined}
          aria-label={account === null ? undefined : `Your account: ${name}`}
          data-testid="who"
        >
          <Icon name="person" />
          <span className="person-name">{name}</span>
        </Link>
      ) : null}
      <Button
        look="quiet"
        icon={who === "key" ? "key" : "sign-out"}
        className="sign-out"
        data-testid="sign-out"
        onClick={() => void credential.signOut()}
      >
        Sign out
      </Button>
    </div>
  );
}

/** What stands around every page. Viewers who came by a link get no navigation that would only refuse them. */
export function Frame({ route, children }: { route: Route; children: ReactNode }): ReactElement {
  const signedIn = useSignedIn();
  const pages = PAGES.filter(
    ({ permission }) => permission === "" || signedIn.who === "nobody" || may(signedIn, permission),
  );
  const navigable = signedIn.who !== "nobody" || route.page === "library" || route.page === "upload";
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
            {pages.map(({ page, href, name }) => (
              <Link key={page} href={href} aria-current={route.page === page ? "page" : undefined}>
                {name}
              </Link>
            ))}
          </nav>
        ) : null}
        <Whoever route={route} />
      </header>
      <main id="content" tabIndex={-1}>
        {children}
      </main>
      <footer className="foot">
        <Link href={reportPath(route)}>Report something shown here</Link>
      </footer>
      <Announcer />
    </div>
  );
}
