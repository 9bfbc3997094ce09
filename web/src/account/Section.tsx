import type { ReactElement, ReactNode } from "react";

/** One thing that people can see to, with its title. */
export function Section({
  title,
  lead,
  children,
}: {
  title: string;
  lead?: ReactNode;
  children: ReactNode;
}): ReactElement {
  const id = `section-${title.toLowerCase().replaceAll(" ", "-")}`;
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="panel-head">
        <h2 id={id}>{title}</h2>
        {lead === undefined ? null : <p className="help">{lead}</p>}
      </div>
      {children}
    </section>
  );
}
