import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { formats, localeOf, type Formats, type Language } from "../format";
import { en, type Words } from "./en";
import { zh } from "./zh";

const dictionaries: Record<Language, Words> = { en, zh };
const KEPT_UNDER = "wattledger.language";

interface Speech {
  language: Language;
  words: Words;
  show: Formats;
  setLanguage: (language: Language) => void;
}

const SpeechContext = createContext<Speech | null>(null);

/** The kept choice, else the first of the browser's languages that we speak, else English. */
function firstLanguage(): Language {
  const wishes = [kept(), ...navigator.languages];
  for (const wish of wishes) {
    const tongue = wish?.toLowerCase().split("-")[0];
    if (tongue === "en" || tongue === "zh") return tongue;
  }
  return "en";
}

function kept(): string | null {
  try {
    return localStorage.getItem(KEPT_UNDER);
  } catch {
    return null; // storage may be switched off; the choice then lasts as long as the page
  }
}

export function SpeechProvider({ children }: { children: ReactNode }) {
  const [language, setState] = useState(firstLanguage);
  const setLanguage = useCallback((next: Language) => {
    setState(next);
    try {
      localStorage.setItem(KEPT_UNDER, next);
    } catch {
      // see kept()
    }
  }, []);
  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  }, [language]);
  const speech = useMemo(
    () => ({
      language,
      words: dictionaries[language],
      show: formats(localeOf(language, navigator.languages)),
      setLanguage,
    }),
    [language, setLanguage],
  );
  return <SpeechContext value={speech}>{children}</SpeechContext>;
}

/** The reader's words and number formats. */
export function useSpeech(): Speech {
  const speech = useContext(SpeechContext);
  if (speech === null) throw new Error("useSpeech outside SpeechProvider");
  return speech;
}
