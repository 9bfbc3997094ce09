import { useEffect, useRef, type ReactElement, type ReactNode } from "react";

interface Props {
  readonly title: string;
  /** A line under the title. */
  readonly lead?: ReactNode;
  readonly actions?: ReactNode;
}

let firstPage = true;

/** The head of a page. Moves the focus to itself when people come from another page, as a browser does on a new document. */
export function PageHead({ title, lead, actions }: Props): ReactElement {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "Reelmesh" ? title : `${title} · Reelmesh`;
  }, [title]);
  useEffect(() => {
    if (!firstPage) heading.current?.focus({ preventScroll: true });
    firstPage = false;
  }, []);
  return (
    <header className="page-head">
      <div>
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {lead === undefined ? null : <p className="lead">{lead}</p>}
      </div>
      {actions === undefined ? null : <div className="page-actions">{actions}</div>}
    </header>
  );
}
