/** Owns the modal dialog: the top view of a person's stack, its form, its errors. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Blocks, useSurface } from './blocks.js';
import { html, Plain } from './text.js';

export function Modal({ view, depth, appName, post, toast }) {
  const dialog = useRef();
  const surface = useSurface({ viewId: view.id }, post, toast);
  const [errors, setErrors] = useState({});
  const [failure, setFailure] = useState();
  const [submitting, setSubmitting] = useState(false);

  useEffect(() => {
    dialog.current.showModal();
    const first = dialog.current.querySelector('[autofocus], .field input, .field textarea, .field select');
    first?.focus();
  }, []);
  useEffect(() => setErrors({}), [view.hash]);

  const close = () => post('close', { viewId: view.id });
  const submit = async (event) => {
    event.preventDefault();
    if (submitting) return;
    setSubmitting(true);
    setFailure(undefined);
    const answer = await post('submit', { viewId: view.id, values: surface.values });
    setSubmitting(false);
    setErrors(answer.errors ?? {});
    if (!answer.ok && answer.errors === undefined) setFailure(answer.error);
  };
  const hasErrors = Object.keys(errors).length > 0;
  useEffect(() => {
    if (hasErrors)
      dialog.current.querySelector('.field.invalid input, .field.invalid textarea, .field.invalid select')?.focus();
  }, [errors]);

  return html`
    <dialog
      ref=${dialog}
      class="dialog modal"
      data-testid="modal"
      aria-labelledby="modal-title"
      onCancel=${(event) => {
        event.preventDefault();
        void close();
      }}
    >
      <form onSubmit=${submit} novalidate>
        <header>
          <img class="avatar small" src=${`/avatars/${appName.id}.svg`} alt="" />
          <h2 id="modal-title"><${Plain} text=${view.title.text} /></h2>
          ${depth > 1 && html`<span class="muted">${depth} of 3</span>`}
          <button type="button" class="cross" aria-label="Close dialog" onClick=${close}>✕</button>
        </header>
        <div class="modal-body" tabindex="-1">
          ${failure && html`<p class="failure" role="alert">${failure}</p>`}
          <${Blocks} blocks=${view.blocks} surface=${surface} errors=${errors} />
        </div>
        <footer>
          <button type="button" class="button" onClick=${close}>
            ${view.close?.text ?? (view.submit ? 'Cancel' : 'Close')}
          </button>
          ${
            view.submit &&
            html`<button
              type="submit"
              class=${`button primary ${submitting ? 'busy' : ''}`}
              aria-busy=${submitting}
              disabled=${submitting}
            >
              <span><${Plain} text=${view.submit.text} /></span>
            </button>`
          }
        </footer>
      </form>
    </dialog>
  `;
}
