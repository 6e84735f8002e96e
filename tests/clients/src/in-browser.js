async ({ email, data }) => {
  const response = await fetch("/api/user/submit", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      email,
      comments: "itches",
      consent: true,
      images: [{ name: "retina.jpg", type: "image/jpeg", data }],
    }),
  });
  const accepted = await response.json();
  if (response.status !== 202) throw new Error(`not accepted: ${JSON.stringify(accepted)}`);

  const messages = [];
  const source = new EventSource(`/api/user/events/${accepted.submission_id}`);
  // A browser reconnects after a stream has ended. It stops when the API responds with 204.
  await new Promise((resolve, reject) => {
    const receive = (event) => {
      try {
        messages.push(JSON.parse(event.data));
      } catch (error) {
        reject(error);
      }
    };
    for (const name of ["message", "status_update", "result_ready"]) {
      source.addEventListener(name, receive);
    }
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) resolve();
    });
  });
  return messages;
}
