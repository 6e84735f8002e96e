submit-title = Send photos for a diagnosis
submit-lead = Send us photos of what worries you. An AI platform examines them, and you get the result on this website and by e-mail, usually within a few minutes.

submit-steps-title = What happens with your photos
submit-steps-examined = LoopAI examines them
submit-steps-examined-text = LoopAI is an AI platform. It gets your photos and comments, but not your e-mail address. Before that, we remove hidden data from the photos, such as the place where they were taken.
submit-steps-result = You get the result
submit-steps-result-text = You can follow the progress on the next page. You can also close it, because we e-mail you the result.
submit-steps-access = You can delete everything
submit-steps-access-text = Apart from you, only authorised staff of this service can see your photos. You can delete your photos, your comments and the result at any time.

submit-form-title = Your details
submit-email-label = E-mail address
submit-email-hint = We send the result to this address.
submit-comments-label = Comments (optional)
submit-comments-hint = For example: since when you have noticed it, and whether it hurts or itches. LoopAI gets this text, so leave out your name and address.
submit-photos-label = Photos
submit-photos-hint = 1 to { $files } photos: JPEG, PNG or WebP, up to { $megabytes } MB each. Close, sharp photos in daylight give the best results.
submit-photos-choose = Choose photos
submit-photos-drop = You can also drag photos here.
submit-photos-camera = Take a photo
submit-photos-again = Choose your photos again. Browsers do not keep chosen files when a form is shown again.
submit-photo-remove = Remove
submit-photo-up = Move up
submit-photo-down = Move down

submit-consent-title = Consent
submit-consent-purpose = We use your e-mail address, your comments and your photos to have the photos examined and to send you the result. Your photos and comments may contain information about your health.
submit-consent-platform = We send your photos without their metadata, and your comments, to the AI platform LoopAI. LoopAI does not get your e-mail address.
submit-consent-staff = Authorised staff of this service can see your data if they need it to process your submission or to answer your questions.
submit-consent-result = A computer program produces the result. The result does not replace a visit to a doctor.
submit-consent-withdrawal = You give your consent voluntarily. You can withdraw it at any time by deleting your submission on its page. What we did with your data before then remains lawful.
submit-consent-version = Version { $version }
submit-consent-label = I have read this text, and I agree to it.
submit-send = Send photos

submit-announcement-chosen = Photos chosen: { $count }.
submit-announcement-removed = { $name } was removed.
submit-announcement-moved = { $name } is now photo { $number }.

submit-hint-type = This does not seem to be a JPEG, PNG or WebP photo. If we cannot read it, send a screenshot of it instead.
submit-hint-large = This file is larger than { $max } MB. Choose a smaller photo, or send a screenshot of it.
submit-hint-small = This photo is small, so details may be hard to see. Send a larger one if you can.
submit-hint-dark = This photo looks dark. Take it again in daylight if you can.
submit-hint-blurred = This photo looks blurred. Take it again if you can, and hold the phone still.
submit-hint-count = You can send at most { $max } photos. Remove some of them.

submit-progress-sending = Sending your photos: { $percent } %
submit-progress-checking = Your photos have arrived. We are checking them.
submit-progress-offline = You are offline. We send your photos as soon as you are online again. Keep this page open.
submit-progress-reconnecting = The connection was lost. We try again in { $seconds } s. Keep this page open.
submit-progress-busy = We are very busy at the moment. We send your photos again in { $seconds } s. Keep this page open.
submit-progress-failed = Your photos could not be sent. Check your internet connection, then send them again. We store them only once.

submit-error-email-required = Enter your e-mail address.
submit-error-email-invalid = Enter an e-mail address in the correct format, such as name@example.org.
submit-error-email-not-supported = We cannot send e-mails to addresses with letters other than a to z before the @. Enter another address.
submit-error-comments-invalid = Your comments contain characters that we cannot read. Remove unusual characters.
submit-error-comments-too-long = Your comments are too long. Shorten them to { $max } characters.
submit-error-consent-required = Read the consent text, and tick the box if you agree to it.
submit-error-consent-version-invalid = Read the consent text again, and tick the box if you agree to it.
submit-error-consent-version-not-current = The consent text has changed. Read the new text, and tick the box if you agree to it.
submit-error-images-required = Choose at least one photo.
submit-error-images-invalid = We could not read your photos. Choose them again.
submit-error-too-many-images = You can send at most { $max } photos. Remove some of them.
submit-error-field-unknown = We could not read all of your photos. Choose them again.
submit-error-image-too-large = Photo { $image } is larger than { $max } MB. Choose a smaller photo, or send a screenshot of it.
submit-error-image-empty = Photo { $image } is an empty file. Choose the photo again.
submit-error-image-data-invalid = Photo { $image } could not be read. Choose the photo again.
submit-error-file-id-not-supported = Photo { $image } could not be read. Choose the photo again.
submit-error-image-damaged = Photo { $image } is damaged or incomplete. Choose it again, or take a new one.
submit-error-image-too-many-pixels = Photo { $image } has too many pixels. Choose a smaller photo, or send a screenshot of it.
submit-error-image-type-not-allowed = { $kind ->
    [heic] Photo { $image } is a HEIC photo, which we cannot read. On an iPhone, choose Settings > Camera > Formats > Most Compatible and take the photo again, or send a screenshot of it.
    [avif] Photo { $image } is an AVIF photo, which we cannot read. Set your camera to JPEG and take the photo again, or send a screenshot of it.
    [jpeg-xl] Photo { $image } is a JPEG XL photo, which we cannot read. Set your camera to JPEG and take the photo again, or send a screenshot of it.
    [unsupported-jpeg] Photo { $image } is an unusual kind of JPEG, which we cannot read. Take a screenshot of it, and send the screenshot.
    [gif] File { $image } is a GIF. Send a photo as a JPEG, for example one taken with your phone.
    [svg] File { $image } is a drawing (SVG). Send a photo as a JPEG, for example one taken with your phone.
    [other-image] Photo { $image } is of a kind that we cannot read. Save it as a JPEG, or send a screenshot of it.
    [pdf] File { $image } is a PDF. Send a photo or a screenshot of the page instead.
    [video] File { $image } is a video. Send a photo or a screenshot of the video instead.
    [web-page] File { $image } is a web page. Save the photo itself, or send a screenshot of it.
   *[unknown] File { $image } is not a photo that we can read. Send a JPEG, for example a photo taken with your phone.
}

submit-problem-busy = We are very busy at the moment. Wait a minute, then send your photos again.
submit-problem-unavailable = The service is temporarily unavailable. Wait a minute, then send your photos again.
submit-problem-outcome-unknown = We could not confirm in time that your photos were saved. Send them again. We store them only once.
submit-problem-internal = Something went wrong on our side. Send your photos again. If the problem continues, try again later.
submit-problem-upload-timeout = The upload took too long. Use a faster connection or smaller photos, then send them again.
submit-problem-upload-incomplete = The upload was interrupted. Send your photos again.
submit-problem-body-too-large = Your photos are too large together. Choose fewer or smaller photos, then send them again.
submit-problem-too-many-requests = You have sent the form too often in a short time. Wait a minute, then send it again.
submit-problem-too-many-open-submissions = Your earlier submissions are still being processed. Wait for their results before you send more photos.
submit-problem-daily-limit-reached = There were too many submissions for this e-mail address in the last 24 hours. Try again tomorrow.
submit-problem-token-revoked = We have already received these photos, but access to them on this website was blocked. We send you the result by e-mail.
submit-problem-idempotency-key-in-use = Your photos are already being processed. Wait a few seconds, then send the form again.
submit-problem-idempotency-key-reused = You have already sent this form with other content. To send what you see now as a new submission, send it again.
submit-problem-invalid-idempotency-key = We could not read the form. Send it again.
submit-problem-invalid-multipart = We could not read the form. Send it again.
submit-problem-form-too-complex = We could not read the form. Send it again.
