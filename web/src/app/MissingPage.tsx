import type { ReactElement } from "react";

import { Link } from "./navigation";
import { PageHead } from "./PageHead";

/** Nothing is at this address. */
export function MissingPage(): ReactElement {
  return (
    <div className="narrow" data-testid="missing">
      <PageHead title="There is no such page" lead="The address may be mistyped, or what was here has moved." />
      <p>
        <Link href="/">Go to the library</Link>
      </p>
    </div>
  );
}
