"""Submits a photo with the client that openapi-python-client generates, and polls its status."""

import os
import time
from pathlib import Path
from uuid import UUID, uuid4

from diagflow_client import AuthenticatedClient, Client
from diagflow_client.api.submissions import create_submission, read_submission_status
from diagflow_client.models import FormSubmission
from diagflow_client.types import File

url = os.environ["DIAGFLOW_URL"]
photo = Path(os.environ["PHOTO"])

with photo.open("rb") as content:
    form = FormSubmission(
        email=f"{uuid4()}@example.org",
        comments="itches",
        consent="true",
        images=[File(payload=content, file_name=photo.name, mime_type="image/jpeg")],
    )
    accepted = create_submission.sync_detailed(client=Client(base_url=url), body=form)
assert accepted.status_code == 202, accepted.content

client = AuthenticatedClient(base_url=url, token=accepted.parsed.access_token)
submission = UUID(str(accepted.parsed.submission_id))
for _ in range(60):
    status = read_submission_status.sync(submission, client=client)
    if status.status == "completed":
        break
    time.sleep(1)
assert status.status == "completed" and status.result, status
print(f"openapi-python-client: {status.status}")
