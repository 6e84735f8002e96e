email-result-headline = Your diagnosis result
email-result-opening = Thank you for waiting. The analysis of your photos is complete. Here is the result.
email-result-note = Please note:
email-result-empty = This result has no summary that we can show in an e-mail. Please reply to this e-mail, and we will explain the result to you.
email-result-findings = What was found
email-result-finding = Finding
email-result-confidence = Confidence:
email-result-image = Image { $number }
email-result-recommendations = What is recommended
email-result-truncated = The result is too long for an e-mail. Part of it is missing here. To get the whole result, reply to this e-mail.
email-result-advice = A computer program produced this result. The result does not replace a visit to a doctor. Please show it to your doctor, who can also examine you.

email-ready-headline = Your result is ready
email-ready-text = The analysis of your photos is complete. To see the result, open this link.

email-failed-headline = We could not complete your diagnosis
email-failed-text = Sorry, we could not analyse your photos. This can happen when a photo is too dark or blurred, or when it shows something that the analysis does not recognise.
email-failed-advice = Please take new photos and send them to us, or see a doctor. Sharp, bright photos from close up work best. If the new photos do not work either, reply to this e-mail and we will look into it.
email-failed-by-us-text = Sorry, something went wrong on our side, so we could not analyse your photos. There is nothing wrong with your photos.
email-timed-out-headline = Your diagnosis took too long
email-timed-out-text = Sorry, the analysis of your photos took too long, so we stopped it. There is nothing wrong with your photos.
email-cancelled-headline = Your submission was cancelled
email-cancelled-text = Your submission was cancelled before we could finish the analysis of your photos, so there is no result.
email-cancelled-advice = If you still want a diagnosis, please send your photos again. If you did not ask us to cancel, please reply to this e-mail.
email-send-again = Please send your photos again later, or see a doctor. Our team can see what happened and may restart your diagnosis. If they do, you will get another e-mail from us.

email-new-link-headline = Your new link
email-new-link-text = You asked us for a new link to your submission. Here it is.
email-new-link-advice = Open the link on the device on which you want to see your submission. If you did not ask for a new link, you can ignore this e-mail.

email-link-open-result = Open my result
email-link-open-submission = Open my submission
email-link-hint = The link works once, within { $hours ->
    [one] one hour
   *[other] { $hours } hours
}. After that, you can request a new link on the page that it opens. Do not forward this e-mail, because the link gives access to your data.

email-next-steps = What to do next
email-emergency = If you feel unwell or your symptoms get worse, do not wait: call your doctor or, in an emergency, the emergency number.
email-data-title = What happens to your data
email-data-result = We keep your photos, your comments and this result until you ask us to delete them{ $days ->
    [0] .
    [one] , but not longer than one day.
   *[other] , but not longer than { $days } days.
} To ask us, just reply to this e-mail. Your photos are not in this e-mail. The AI platform received your photos and comments, but not your e-mail address.
email-data-all = We keep your photos, your comments and any result until you ask us to delete them{ $days ->
    [0] .
    [one] , but not longer than one day.
   *[other] , but not longer than { $days } days.
} To ask us, just reply to this e-mail.
email-data-end = We keep your photos and your comments until you ask us to delete them{ $days ->
    [0] .
    [one] , but not longer than one day.
   *[other] , but not longer than { $days } days.
} To ask us, just reply to this e-mail.
email-reference = Reference: { $id }
