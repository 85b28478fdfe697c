import "@mantine/core/styles/baseline.layer.css";
import "@mantine/core/styles/default-css-variables.layer.css";
import "@mantine/core/styles/global.layer.css";
import "@mantine/core/styles/ScrollArea.layer.css";
import "@mantine/core/styles/UnstyledButton.layer.css";
import "@mantine/core/styles/VisuallyHidden.layer.css";
import "@mantine/core/styles/Paper.layer.css";
import "@mantine/core/styles/CloseButton.layer.css";
import "@mantine/core/styles/Loader.layer.css";
import "@mantine/core/styles/Overlay.layer.css";
import "@mantine/core/styles/ModalBase.layer.css";
import "@mantine/core/styles/Drawer.layer.css";
import "@mantine/core/styles/Input.layer.css";
import "@mantine/core/styles/InlineInput.layer.css";
import "@mantine/core/styles/Button.layer.css";
import "@mantine/core/styles/ActionIcon.layer.css";
import "@mantine/core/styles/SegmentedControl.layer.css";
import "@mantine/core/styles/Skeleton.layer.css";
import "./base.css";

import { MantineProvider } from "@mantine/core";
import { StrictMode, Suspense, lazy } from "react";
import { createRoot } from "react-dom/client";
import { usePath } from "./router";
import { theme, variables } from "./theme";
import { FrontDoor } from "./ui/FrontDoor";
import { SpeechProvider } from "./words";

// The two entries. A consumer never downloads the console, nor an operator the consumer's pages.
const App = lazy(() => import("./app"));
const Console = lazy(() => import("./console"));

function Pages() {
  const [entry, ...rest] = usePath();
  switch (entry) {
    case "app":
      return <App path={rest} />;
    case "console":
      return rest.length === 0 ? <Console /> : <FrontDoor lost />;
    default:
      return <FrontDoor lost={entry !== undefined} />;
  }
}

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
      <SpeechProvider>
        <Suspense fallback={null}>
          <Pages />
        </Suspense>
      </SpeechProvider>
    </MantineProvider>
  </StrictMode>,
);
