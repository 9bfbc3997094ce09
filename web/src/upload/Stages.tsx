import type { ReactElement } from "react";

import { percent } from "../ui/format";
import { Icon } from "../ui/icons";
import { Meter } from "../ui/Meter";
import type { ShownStage } from "./stages";

/** The pipeline as a row of stages that fill from left to right. */
export function Stages({ stages }: { stages: readonly ShownStage[] }): ReactElement {
  return (
    <ol className="stages" aria-label="Pipeline">
      {stages.map((stage) => (
        <li key={stage.stage} data-stage={stage.stage} data-state={stage.state} data-fraction={stage.fraction}>
          <span className="stage-head">
            <span className="stage-title">{stage.title}</span>
            <span className="stage-state">
              {stage.state === "DONE" ? <Icon name="check" /> : null}
              {stage.state === "FAILED" ? <Icon name="alert" /> : null}
              {stage.state === "RUNNING" ? (
                percent(stage.fraction)
              ) : (
                <span className={stage.state === "DONE" ? "visually-hidden" : ""}>{stage.stateTitle}</span>
              )}
            </span>
          </span>
          <Meter
            label={`${stage.title}: ${stage.stateTitle}`}
            fraction={stage.fraction}
            tone={stage.state === "DONE" ? "ok" : stage.state === "FAILED" ? "bad" : "accent"}
          />
        </li>
      ))}
    </ol>
  );
}
