import type { ReactElement, ReactNode } from "react";

import { Icon } from "../ui/icons";
import { Link } from "./navigation";

interface Props {
  readonly title: string;
  /** Why, and what they can do. */
  readonly children: ReactNode;
  readonly testId: string;
}

/** For people who are signed in and whose roles do not open a page. */
export function NotForYou({ title, children, testId }: Props): ReactElement {
  return (
    <div className="empty" data-testid={testId}>
      <Icon name="film" />
      <h2>{title}</h2>
      <p>{children}</p>
      <Link href="/account" className="button plain">
        <Icon name="person" />
        Your account
      </Link>
    </div>
  );
}
