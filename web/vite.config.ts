import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Where `npm run dev` finds a running town; the built pages are served by the town itself.
const town = "http://127.0.0.1:8321";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/wattledger/web/dist",
    emptyOutDir: true,
    target: "es2022",
    chunkSizeWarningLimit: 700, // ECharts is one lazy chunk
  },
  server: { proxy: { "/api": town } },
});
