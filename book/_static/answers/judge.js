// Judges an answer to an exercise as check() does in a notebook: the same verdict, the same words.
//
// What is right, what is said of what is wrong, and the hints come from book/exercises. This file
// mirrors ippy/exercises: reading.py, written.py, expressions.py and questions.py.
// tests/test_answers.py gives both the same answers.

var courseJudge = (() => {
  "use strict";

  const POINTS = 20; // at which a formula is tried, beside its example
  const LONGEST = 200; // characters of a formula
  const SIGNS = { "−": "-", "·": "*", "×": "*", "÷": "/", "^": "**", "²": "**2", "³": "**3" };
  // What Python takes for blanks, which is not quite what JavaScript does.
  const SPACE =
    "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
  const ENDS = new RegExp(`^${SPACE}+|${SPACE}+$`, "g");
  const NUMBER = /^[+-]?(\p{Nd}+\.?\p{Nd}*|\.\p{Nd}+)(e[+-]?\p{Nd}+)?/iu;
  const NOT_FINITE = /^[+-]?(inf|infinity|nan)$/i;
  const TOKEN =
    /(?<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)|(?<name>[a-z_][a-z0-9_]*)|\*\*|[-+*/()]/iy;
  const FUNCTIONS = { abs: Math.abs, sqrt: Math.sqrt, log10: Math.log10 };

  class Unanswered extends Error {}
  class Unusable extends Error {}
  class Wrong extends Error {}
  class Undefined extends Error {} // a formula has no finite value here

  const strip = (text) => text.replace(ENDS, "");
  const fill = (text, fields) => text.replace(/\{(\w+)\}/g, (_, name) => fields[name]);

  // --- numbers

  // Any script's decimal digits are digits, as in Python: they stand in rows of ten, from 0 to 9.
  function plainDigits(text) {
    const isDigit = (code) => /^\p{Nd}$/u.test(String.fromCodePoint(code));
    return text.replace(/\p{Nd}/gu, (digit) => {
      const code = digit.codePointAt(0);
      let first = code;
      while (isDigit(first - 1)) first -= 1;
      return String((code - first) % 10);
    });
  }

  function asNumber(answer, unit, messages) {
    const text = strip(answer).replaceAll("−", "-");
    if (!text) throw new Unanswered();
    if (text.includes(",") && /\p{Nd}/u.test(text)) throw new Unusable(messages.comma);
    if (NOT_FINITE.test(text)) throw new Wrong(fill(messages.finite, { value: notFinite(text) }));
    const found = NUMBER.exec(text);
    if (!found) throw new Unusable(messages.text);
    const rest = strip(text.slice(found[0].length));
    if (rest === "%") throw new Unusable(messages.percent);
    if (rest && rest.toLowerCase() !== unit.toLowerCase()) {
      throw new Unusable(fill(unit ? messages.unit_of : messages.unit, { rest, unit }));
    }
    const value = Number(plainDigits(found[0]));
    if (Number.isFinite(value)) return value;
    throw new Wrong(fill(messages.finite, { value: value > 0 ? "inf" : "-inf" }));
  }

  function notFinite(text) {
    if (/nan/i.test(text)) return "nan";
    return text.startsWith("-") ? "-inf" : "inf";
  }

  // Python's "%g": six digits, an exponent where it is shorter, ties to the even digit.
  function general(value) {
    if (value === 0) return Object.is(value, -0) ? "-0" : "0";
    const written = (places) => {
      const [mantissa, power] = Math.abs(value).toExponential(places).split("e");
      return { digits: mantissa.replace(".", ""), power: Number(power) };
    };
    const exact = written(100);
    const tie = /^50*$/.test(exact.digits.slice(6)) && Number(exact.digits[5]) % 2 === 0;
    const { digits, power } = tie ? exact : written(5);
    const sign = value < 0 ? "-" : "";
    const number = (whole, rest) => `${sign}${whole}.${rest}`.replace(/\.?0*$/, "");
    if (power < -4 || power > 5) {
      const size = String(Math.abs(power)).padStart(2, "0");
      return `${number(digits[0], digits.slice(1, 6))}e${power < 0 ? "-" : "+"}${size}`;
    }
    if (power < 0) return number("0", "0".repeat(-power - 1) + digits.slice(0, 6));
    return number(digits.slice(0, power + 1), digits.slice(power + 1, 6));
  }

  // --- expressions: numbers, names, + - * / **, parentheses, abs(), sqrt(), log10()

  const finite = (value) => {
    if (Number.isFinite(value)) return value;
    throw new Undefined();
  };

  // Returns [{text, number}, {text, name}, {text, sign}, ...]; calls stop(rest) at anything else.
  function tokensOf(written, names, stop) {
    const tokens = [];
    let place = 0;
    while (place < written.length) {
      TOKEN.lastIndex = place;
      const found = TOKEN.exec(written);
      const character = String.fromCodePoint(written.codePointAt(place));
      if (!found && strip(character) === "") {
        place += 1;
        continue;
      }
      const name = found?.groups.name;
      if (!found || (name && !names.includes(name) && !Object.hasOwn(FUNCTIONS, name))) {
        stop(found ? found[0] : character);
      }
      const [text, number] = [found[0], found.groups.number];
      if (number) tokens.push({ text, number: Number(number) });
      else tokens.push(name ? { text, name } : { text, sign: text });
      place = TOKEN.lastIndex;
    }
    return tokens;
  }

  // Returns a function of a point, {name: value}; throws SyntaxError.
  function parse(tokens, names) {
    let place = 0;
    const sign = (...signs) => {
      const next = tokens[place]?.sign;
      if (!signs.includes(next)) return undefined;
      place += 1;
      return next;
    };
    const expect = (wanted) => {
      if (!sign(wanted)) throw new SyntaxError(`expected ${wanted}`);
    };

    function sum() {
      let value = product();
      for (let next = sign("+", "-"); next; next = sign("+", "-")) {
        const [left, right, minus] = [value, product(), next === "-"];
        value = (point) => finite(minus ? left(point) - right(point) : left(point) + right(point));
      }
      return value;
    }

    function product() {
      let value = signed();
      for (let next = sign("*", "/"); next; next = sign("*", "/")) {
        const [left, right, over] = [value, signed(), next === "/"];
        value = (point) => finite(over ? left(point) / right(point) : left(point) * right(point));
      }
      return value;
    }

    function signed() {
      const next = sign("+", "-");
      if (!next) return power();
      const value = signed();
      return next === "-" ? (point) => -value(point) : value;
    }

    function power() {
      const base = part();
      if (!sign("**")) return base;
      const exponent = signed(); // from right to left, and 2**-1 is allowed
      return (point) => finite(base(point) ** exponent(point));
    }

    function part() {
      const token = tokens[place];
      place += 1;
      if (token?.sign === "(") {
        const value = sum();
        expect(")");
        return value;
      }
      if (Number.isFinite(token?.number)) return () => token.number;
      if (names.includes(token?.name)) return (point) => point[token.name];
      if (token?.name) {
        expect("(");
        const value = sum();
        expect(")");
        return (point) => finite(FUNCTIONS[token.name](value(point)));
      }
      throw new SyntaxError("expected a number, a name or a parenthesis");
    }

    const value = sum();
    if (place !== tokens.length) throw new SyntaxError("expected the end");
    return value;
  }

  // What a file holds: a number, or an expression that is known to be right.
  function stored(expression, names) {
    const unknown = (rest) => {
      throw new SyntaxError(`${rest} in ${expression}`);
    };
    return parse(tokensOf(String(expression), names, unknown), names);
  }

  // Whether two neighbours are meant to be multiplied: 2a, p(1 - p), (a)(b).
  function isProduct(left, right) {
    if ("number" in left && "number" in right) return false;
    const isFunction = left.name && Object.hasOwn(FUNCTIONS, left.name);
    const ends = left.sign ? left.sign === ")" : !isFunction;
    return ends && (!right.sign || right.sign === "(");
  }

  function asFunction(answer, names, messages) {
    if (!strip(answer)) throw new Unanswered();
    if (/[0-9] *, *[0-9]/.test(answer)) throw new Unusable(messages.comma);
    if ([...answer].length > LONGEST) throw new Unusable(messages.formula_text);
    const text = answer.replace(/[−·×÷^²³]/g, (sign) => SIGNS[sign]);
    const times = (left, right) => new Unusable(fill(messages.formula_times, { left, right }));
    const tokens = tokensOf(text, names, (rest) => {
      if (rest.length > 1 && [...rest].every((letter) => names.includes(letter))) {
        throw times(rest[0], rest[1]);
      }
      const listed = names.map((name) => `\`${name}\``).join(", ");
      throw new Unusable(fill(messages.formula_part, { rest, names: listed }));
    });
    for (let i = 1; i < tokens.length; i += 1) {
      if (isProduct(tokens[i - 1], tokens[i])) throw times(tokens[i - 1].text, tokens[i].text);
    }
    try {
      return parse(tokens, names);
    } catch {
      throw new Unusable(messages.formula_text);
    }
  }

  // --- the three kinds of exercises

  function choice(entry, answer, messages) {
    if (!answer) throw new Unanswered();
    const letter = answer.replace(/^[ ().]+|[ ().]+$/g, "").toLowerCase();
    const option = entry.options.find((one) => one.letter === letter);
    if (!option) {
      const letters = entry.options.map((one) => one.letter).sort().join(", ");
      throw new Unusable(fill(messages.letter, { letters }));
    }
    if (!option.correct) throw new Wrong(option.feedback);
  }

  function number(entry, answer, messages) {
    const right = stored(entry.value, [])({});
    const value = asNumber(answer, entry.unit ?? "", messages);
    const off = (other) => Math.abs(value - other);
    if (off(right) <= entry.tolerance) return;
    for (const mistake of entry.mistakes) {
      if (off(stored(mistake.value, [])({})) <= mistake.tolerance) throw new Wrong(mistake.feedback);
    }
    if (off(right) <= 10 * entry.tolerance * (1 + 1e-9)) throw new Wrong(messages.near);
    if (off(-right) <= entry.tolerance) throw new Wrong(messages.sign);
    throw new Wrong(fill(value > right ? messages.large : messages.small, { value: general(value) }));
  }

  function formula(entry, answer, messages) {
    const names = entry.arguments.map((argument) => argument.name);
    const points = [entry.example];
    while (points.length <= POINTS) points.push(drawn(entry.arguments));
    const given = asFunction(answer, names, messages);
    const values = points.map((point) => valueAt(given, point, messages));
    if (agrees(stored(entry.value, names), points, values)) return;
    for (const mistake of entry.mistakes) {
      if (agrees(stored(mistake.value, names), points, values)) throw new Wrong(mistake.feedback);
    }
    const point = spoken(points[0]);
    const right = stored(entry.value, names);
    if (agrees(right, [points[0]], [values[0]])) throw new Wrong(fill(messages.formula_near, { point }));
    const words = values[0] > right(points[0]) ? messages.formula_large : messages.formula_small;
    throw new Wrong(fill(words, { point, value: general(values[0]) }));
  }

  const spoken = (point) =>
    Object.entries(point).map(([name, value]) => `${name} = ${general(value)}`).join(", ");

  function valueAt(given, point, messages) {
    try {
      return given(point);
    } catch (error) {
      if (!(error instanceof Undefined)) throw error;
      throw new Wrong(fill(messages.formula_undefined, { point: spoken(point) }));
    }
  }

  function drawn(ranges) {
    const point = {};
    for (const { name, from, to, step } of ranges) {
      const steps = Math.floor(Math.random() * (Math.floor((to - from) / step) + 1));
      point[name] = step ? from + step * steps : from + (to - from) * Math.random();
    }
    return point;
  }

  function agrees(right, points, values) {
    return points.every((point, i) => {
      const [value, other] = [values[i], right(point)];
      const scale = Math.max(Math.abs(value), Math.abs(other));
      return Math.abs(value - other) <= Math.max(1e-6 * scale, 1e-9);
    });
  }

  const judges = { choice, number, formula };

  // Judges the answer that follows `tries` wrong ones. Code in the words is in backticks.
  function judge(entry, answer, tries, messages) {
    const feedback = (verdict, text, hint = "") => ({ verdict, lead: messages[verdict], text, hint });
    try {
      judges[entry.kind](entry, answer, messages);
    } catch (error) {
      if (error instanceof Unanswered) return feedback("open", messages.nothing);
      if (error instanceof Unusable) return feedback("unusable", error.message);
      if (!(error instanceof Wrong)) throw error;
      const count = entry.hints.length;
      const number = Math.min(tries + 1, count);
      const hint = fill(messages.hint, { number, count, hint: entry.hints[number - 1] });
      return feedback("wrong", error.message, hint);
    }
    return feedback("right", entry.why ?? "");
  }

  return { judge };
})();
