/** Markdown as people, agents and enemies write it. */
import fc from 'fast-check';

const word = fc.constantFrom(
  'alpha',
  'Beta',
  'use',
  'Postgres',
  '3',
  'é',
  '**bold**',
  '`code`',
  '[x](y)',
  '::',
  '-',
  '#',
  '1.',
  '>',
  '[[Foo]]',
  '<b>',
  '👍',
  '\\',
  '*',
  '_a_',
  '|',
  ']]',
);
const words = fc.array(word, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(' '));

/** Lines that mean something to a Markdown parser, and lines that nearly do. */
export const line = fc.oneof(
  { weight: 4, arbitrary: words },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('- ', '* ', '+ ', '1. ', '2) ', '-   ', '-\t', ' - ', '  - '), words)
      .map((p) => p.join('')),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom('# ', '## ', '### ', '## ', '##', ' ## '), words)
      .map((p) => p.join('')),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('  ', '    ', '      ', '\t', '> ', '   '), words)
      .map((p) => p.join('')),
  },
  { weight: 5, arbitrary: fc.constant('') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '---',
      '***',
      '===',
      '- - -',
      '```',
      '~~~',
      '```js',
      '<div>',
      '</div>',
      '<!-- note -->',
      '<!--',
      '-->',
      '[a]: b',
      '| a | b |',
      '|---|---|',
      '-',
      '- ',
      '##',
      '## x ##',
      '  ',
      '    ',
      '<b>',
      '- type:: person',
      '- uses:: [[X]]',
      '- json:: "q"',
      '## json:: "N\\n"',
      '- ```',
      '  ```',
    ),
  },
);

/** Lines as most memory files have them: nearly all of them plain. */
export const plainLine = fc.oneof(
  fc.constant(''),
  fc.constantFrom('```', '```js', '## Head', '# T'),
  fc
    .tuple(
      fc.constantFrom(
        '',
        '',
        '- ',
        '* ',
        '1. ',
        '2. ',
        '10. ',
        '> ',
        '  ',
        '  - ',
        '   ',
        '    - ',
      ),
      fc
        .array(
          fc.constantFrom('alpha', '**b**', '`c d`', '[x](y)', '3', '(p)', '"q"', '- z', '1. y'),
          { minLength: 1, maxLength: 3 },
        )
        .map((parts) => parts.join(' ')),
    )
    .map((parts) => parts.join('')),
);

export const eol = fc.constantFrom('\n', '\n', '\r\n', '\r');

/** A document of such lines, with one kind of line ending, with or without a last one. */
export const markdown = fc
  .tuple(fc.array(line, { maxLength: 25 }), eol, fc.boolean())
  .map(([lines, end, isEnded]) => lines.join(end) + (isEnded && lines.length > 0 ? end : ''));

/** Any text an observation, name or type may have: plain, Markdown, and plain nasty. */
export const anyText = fc.oneof(
  words,
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({
    unit: fc.constantFrom(
      ' ',
      '\n',
      '\t',
      '-',
      '#',
      ':',
      '[',
      ']',
      '"',
      'a',
      '>',
      '`',
      '<',
      '!',
      '\\',
      '\r',
      '1',
      '.',
      '*',
    ),
    maxLength: 12,
  }),
  fc.array(line, { minLength: 1, maxLength: 5 }).map((lines) => lines.join('\n')),
  fc.constantFrom(
    '',
    ' ',
    'type:: x',
    'a:: [[b]]',
    'json:: "x"',
    'json:: {"type":"x"}',
    '<!-- syncline:begin -->',
    '<!-- syncline:end -->',
    '---',
    '- - -',
    '\ud800',
    '\0',
    '```',
    '```\nopen',
    '<!--',
    '~~~',
    '# h',
    '\u2028',
    'a\r\nb',
    '\ufeff',
    '__proto__',
  ),
);

export const someText = anyText.filter((text) => text !== '');
