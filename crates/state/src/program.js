// Runs once, before a projection's function is compiled. What comes from the air goes, and all that
// is left is frozen: so nothing of one call is seen by the next. Gives what compiles a function.
(function () {
  "use strict";
  const { getOwnPropertyDescriptor, getPrototypeOf, defineProperty, freeze } = Object;
  const { ownKeys } = Reflect;
  const { parse, stringify } = JSON;
  const Make = Function;
  delete Math.random;
  // It needs promises, which are not there.
  delete Array.fromAsync;
  delete Object.prototype.__proto__;
  // What objects and errors inherit may be a name of their own all the same.
  const errors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];
  for (const { prototype } of [Object, ...errors]) {
    for (const name of ownKeys(prototype)) {
      const { value, get } = getOwnPropertyDescriptor(prototype, name);
      if (get !== undefined) continue;
      defineProperty(prototype, name, {
        get() { return value; },
        set(own) {
          defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
        },
        enumerable: false,
        configurable: false,
      });
    }
  }
  const seen = new Set();
  const rest = [globalThis, (function* () {}).constructor];
  while (rest.length > 0) {
    const one = rest.pop();
    if ((typeof one !== "object" && typeof one !== "function") || one === null || seen.has(one)) continue;
    seen.add(one);
    rest.push(getPrototypeOf(one));
    for (const name of ownKeys(one)) {
      const { value, get, set } = getOwnPropertyDescriptor(one, name);
      rest.push(value, get, set);
    }
    freeze(one);
  }
  return (text) => {
    const make = Make(text + '\n;return typeof fold === "function" ? fold : undefined');
    const fold = make();
    if (fold === undefined) return undefined;
    // Made anew for each call, since the text may have variables of its own.
    return [fold.length, (state, event) => stringify(make()(parse(state), parse(event)))];
  };
})()
