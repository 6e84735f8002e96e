submission-title-pending = We have your photos
submission-title-processing = Your photos are being examined
submission-title-completed = Your result
submission-title-failed = We could not complete your diagnosis
submission-title-failed-by-us = We could not complete your diagnosis
submission-title-timed-out = Your diagnosis took too long
submission-title-cancelled = Your submission was cancelled

submission-connection-live = Live
submission-connection-reconnecting = Reconnecting. Last update: { $time }
submission-connection-offline = You are offline. Last update: { $time }

submission-received = { $count ->
    [0] Received:
    [one] We received 1 photo:
   *[other] We received { $count } photos:
}
submission-photo = Photo { $number }
submission-now-title = What is happening now
submission-since = Since
submission-progress-done = Done:
submission-progress-current = Now:
submission-progress-upcoming = Next:
submission-progress-failed = Failed:
submission-progress-stopped = Stopped:
submission-step-received = Photos received
submission-step-restarted = Started again by our team
submission-step-waiting = Waiting for the examination
submission-step-waited = Waited for the examination
submission-step-diagnosis = Examination
submission-step-diagnosing = LoopAI is examining your photos
submission-step-diagnosed = Photos examined
submission-step-begun = Examination started
submission-step-result = Result, here and by e-mail
submission-step-ready = Result ready
submission-step-failed = No result
submission-step-timed-out = Stopped because it took too long
submission-step-cancelled = Cancelled
submission-cancelling = Your submission is being cancelled. This usually takes a few seconds.
submission-paused = Our team has paused diagnoses for the moment. Your photos are safe, and the examination continues automatically after the pause.
submission-queue = { $position ->
    [1] You are next.
   *[other] Your place in the queue: { $position }
}
submission-queue-text = Many people are sending photos at the moment. The examination starts automatically.

submission-time-title = How long will it take?
submission-time-usual = { $minutes ->
    [1] Usually less than a minute.
   *[other] Usually less than { $minutes } minutes.
}
submission-time-unknown = Usually a few minutes.
submission-time-paused = We do not know yet how long the pause will last. You do not have to do anything.
submission-time-deadline = At the latest:
submission-close-title = Can I close this page?
submission-trouble-title = What if something goes wrong?
submission-trouble-text = Then we tell you here and by e-mail what you can do. If your symptoms are severe or get worse, do not wait for the result: see a doctor.

submission-email-later = Yes. We will e-mail the result to { $address }.
submission-email-pending = We will e-mail this to { $address } as soon as we can.
submission-email-sent = We have e-mailed this to { $address }.
submission-email-unknown = We tried to e-mail this to { $address }, but we do not know whether the e-mail arrived.
submission-email-failed = We could not send an e-mail to { $address }. Save or print this page if you need it later.

submission-ended-failed = Sorry, we could not analyse your photos. This can happen when a photo is too dark or blurred, or when it shows something that the analysis does not recognise.
submission-ended-failed-by-us = Sorry, something went wrong on our side, so we could not analyse your photos. There is nothing wrong with your photos.
submission-ended-timed-out = Sorry, the analysis of your photos took too long, so we stopped it. There is nothing wrong with your photos.
submission-ended-cancelled = Your submission was cancelled before we could finish the analysis of your photos, so there is no result.
submission-advice-title = What you can do
submission-advice-failed = Take new photos and send them to us, or see a doctor. Sharp, bright photos from close up work best.
submission-advice-failed-by-us = Send your photos again later, or see a doctor. Our team can see what happened and may restart your diagnosis. If they do, you will get another e-mail from us.
submission-advice-timed-out = Send your photos again later, or see a doctor. Our team can see what happened and may restart your diagnosis. If they do, you will get another e-mail from us.
submission-advice-cancelled = If you still want a diagnosis, send your photos again. If you did not cancel, contact us.
submission-again = Send photos again
submission-past-title = What happened so far

submission-result-empty = Your result contains no conclusion. You can read everything it contains under “All details”.
submission-result-findings = { $count ->
    [one] Your result contains 1 finding.
   *[other] Your result contains { $count } findings.
}
submission-result-truncated = This result is very long, so this page does not show all of it. The downloaded result is complete.
submission-findings-title = Findings
submission-confidence-high = Confidence: high ({ $percent }%)
submission-confidence-medium = Confidence: medium ({ $percent }%)
submission-confidence-low = Confidence: low ({ $percent }%)
submission-confidence-other = Confidence: { $text }
submission-confidence-hint = Confidence is how sure the software is. Even a finding with high confidence can be wrong.
submission-photos-title = Your photos
submission-recommendations-title = Recommendations
submission-software-title = Software made this result. It does not replace a doctor.
submission-software-text = See a doctor if you are worried, if you are in pain, or if something changes, even if the result says that all is well. In an emergency, call the emergency number.
submission-print = Print
submission-download = Download as JSON
submission-details-title = All details

submission-data-title = Your data
submission-data-text = You can delete your photos, your comments and the result at any time.
submission-reference = Reference: { $id }
submission-cancel-action = Cancel the diagnosis
submission-cancel-title = Cancel the diagnosis?
submission-cancel-text = We then stop the examination of your photos, and you get no result. Your photos stay stored until you delete them. If you change your mind, you have to send your photos again.
submission-cancel-confirm = Yes, cancel the diagnosis
submission-cancel-back = No, go back
submission-delete-action = Delete everything
submission-delete-title = Delete your photos and the result?
submission-delete-text = We delete your e-mail address, your comments, your photos and the result.
submission-delete-open = The examination of your photos is stopped, and you get no result.
submission-delete-emails = We do not send you any more e-mails about this submission. E-mails that you already have stay in your inbox.
submission-delete-record = Only a record without your data remains. It shows that the submission existed and was deleted.
submission-delete-final = Nobody can undo this.
submission-delete-confirm = Yes, delete everything
submission-delete-back = No, go back
submission-delete-email-in-progress = An e-mail about this submission is being sent right now, so it cannot be deleted yet. Wait a minute, then try again.

submission-denied-title = We cannot show you this submission
submission-denied-text = To protect your data, this page opens only in the browser in which you sent your photos. The submission may also have been deleted.
submission-denied-browser = Open the page in the browser in which you sent your photos.
submission-denied-email = We also send the result by e-mail.
submission-denied-link = If you followed a link, it may have expired. Try entering the page's address yourself.

submission-link-title = Open your submission
submission-link-text = This link works once. Use it on the device on which you want to see your submission and its result.
submission-link-open = Open my submission
submission-link-expired-title = This link has expired
submission-link-expired-text = Links in our e-mails work only for a short time, so that nobody else can use them later.
submission-link-used-title = This link no longer works
submission-link-used-text = Each link in our e-mails works only once, so that nobody else can use it later.
submission-link-open-again = I have already opened it in this browser: show my submission
submission-link-new-text = We can send you a new link, to the same e-mail address.
submission-link-new = Send me a new link
submission-link-requested-title = Look for our e-mail
submission-link-requested-text = We send the new link to the e-mail address of your submission. It usually arrives within a few minutes.
submission-link-requested-hint = If it does not arrive, look in your spam folder. We send at most three new links within 24 hours.
