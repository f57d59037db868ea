/** Owns the display pictures: initials on a colour, as SVG. */
import type { User } from './state.ts';

const COLOURS = ['#7c3aed', '#0e7490', '#be185d', '#15803d', '#b45309', '#1d4ed8'];

/** The app has a key for a picture; people have their initials, and neighbours in the list another colour each. */
export function avatarSvg(user: User, place: 'app' | number): string {
  const background = place === 'app' ? '#1e2a4a' : COLOURS[place % COLOURS.length];
  const picture = place === 'app' ? KEY : initials(user.realName);
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72" width="72" height="72">' +
    `<rect width="72" height="72" fill="${background ?? '#475569'}"/>${picture}</svg>`
  );
}

const KEY =
  '<g fill="none" stroke="#fbbf24" stroke-width="5" stroke-linecap="round" stroke-linejoin="round">' +
  '<circle cx="26" cy="36" r="10"/><path d="M36 36h21v8M48 36v6"/></g>';

function initials(name: string): string {
  const letters = name
    .split(/\s+/)
    .map((word) => word.replace(/[^\p{L}\p{N}]/gu, '').charAt(0))
    .join('')
    .slice(0, 2);
  return (
    '<text x="36" y="37" fill="#fff" font-family="system-ui,sans-serif" font-size="29" font-weight="600" ' +
    `text-anchor="middle" dominant-baseline="central">${letters.toUpperCase()}</text>`
  );
}
