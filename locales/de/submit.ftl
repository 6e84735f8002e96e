submit-title = Fotos zur Diagnose senden
submit-lead = Senden Sie uns Fotos von dem, was Ihnen Sorgen macht. Eine KI-Plattform untersucht sie. Das Ergebnis erhalten Sie auf dieser Website und per E-Mail, meist innerhalb weniger Minuten.

submit-steps-title = Was mit Ihren Fotos geschieht
submit-steps-examined = LoopAI untersucht sie
submit-steps-examined-text = LoopAI ist eine KI-Plattform. Sie erhält Ihre Fotos und Ihre Anmerkungen, aber nicht Ihre E-Mail-Adresse. Vorher entfernen wir verborgene Daten aus den Fotos, zum Beispiel den Aufnahmeort.
submit-steps-result = Sie erhalten das Ergebnis
submit-steps-result-text = Auf der nächsten Seite sehen Sie, wie weit wir sind. Sie können die Seite auch schließen: Wir senden Ihnen das Ergebnis per E-Mail.
submit-steps-access = Sie können alles löschen
submit-steps-access-text = Außer Ihnen können nur berechtigte Mitarbeitende dieses Dienstes Ihre Fotos sehen. Fotos, Anmerkungen und Ergebnis können Sie jederzeit löschen.

submit-form-title = Ihre Angaben
submit-email-label = E-Mail-Adresse
submit-email-hint = An diese Adresse senden wir das Ergebnis.
submit-comments-label = Anmerkungen (freiwillig)
submit-comments-hint = Zum Beispiel: seit wann es Ihnen auffällt und ob es schmerzt oder juckt. LoopAI erhält diesen Text. Schreiben Sie deshalb weder Namen noch Anschrift hinein.
submit-photos-label = Fotos
submit-photos-hint = 1 bis { $files } Fotos: JPEG, PNG oder WebP, jeweils bis { $megabytes } MB. Am besten eignen sich scharfe Nahaufnahmen bei Tageslicht.
submit-photos-choose = Fotos auswählen
submit-photos-drop = Sie können Fotos auch hierher ziehen.
submit-photos-camera = Foto aufnehmen
submit-photos-again = Bitte wählen Sie Ihre Fotos noch einmal aus. Browser behalten ausgewählte Dateien nicht, wenn ein Formular erneut angezeigt wird.
submit-photo-remove = Entfernen
submit-photo-up = Nach oben
submit-photo-down = Nach unten

submit-consent-title = Einwilligung
submit-consent-purpose = Wir verwenden Ihre E-Mail-Adresse, Ihre Anmerkungen und Ihre Fotos, um die Fotos untersuchen zu lassen und Ihnen das Ergebnis zu senden. Ihre Fotos und Anmerkungen können Angaben über Ihre Gesundheit enthalten.
submit-consent-platform = Wir senden Ihre Fotos ohne ihre Metadaten sowie Ihre Anmerkungen an die KI-Plattform LoopAI. Ihre E-Mail-Adresse erhält LoopAI nicht.
submit-consent-staff = Berechtigte Mitarbeitende dieses Dienstes können Ihre Daten sehen, wenn sie sie für die Bearbeitung oder für Ihre Rückfragen brauchen.
submit-consent-result = Ein Computerprogramm erstellt das Ergebnis. Es ersetzt keinen Besuch beim Arzt.
submit-consent-withdrawal = Ihre Einwilligung ist freiwillig. Sie können sie jederzeit widerrufen, indem Sie Ihre Einsendung auf deren Seite löschen. Was wir bis dahin mit Ihren Daten getan haben, bleibt rechtmäßig.
submit-consent-version = Fassung { $version }
submit-consent-label = Ich habe diesen Text gelesen und willige ein.
submit-send = Fotos senden

submit-announcement-chosen = Ausgewählte Fotos: { $count }.
submit-announcement-removed = { $name } wurde entfernt.
submit-announcement-moved = { $name } ist jetzt Foto { $number }.

submit-hint-type = Das scheint kein JPEG-, PNG- oder WebP-Foto zu sein. Wenn wir es nicht lesen können, senden Sie stattdessen einen Screenshot davon.
submit-hint-large = Diese Datei ist größer als { $max } MB. Wählen Sie ein kleineres Foto oder senden Sie einen Screenshot davon.
submit-hint-small = Dieses Foto ist klein, Einzelheiten sind darauf schwer zu erkennen. Senden Sie wenn möglich ein größeres.
submit-hint-dark = Dieses Foto wirkt dunkel. Nehmen Sie es wenn möglich bei Tageslicht noch einmal auf.
submit-hint-blurred = Dieses Foto wirkt unscharf. Nehmen Sie es wenn möglich noch einmal auf und halten Sie das Telefon ruhig.
submit-hint-count = Sie können höchstens { $max } Fotos senden. Bitte entfernen Sie einige.

submit-progress-sending = Ihre Fotos werden gesendet: { $percent } %
submit-progress-checking = Ihre Fotos sind angekommen. Wir prüfen sie.
submit-progress-offline = Sie sind offline. Wir senden Ihre Fotos, sobald Sie wieder online sind. Lassen Sie diese Seite geöffnet.
submit-progress-reconnecting = Die Verbindung wurde unterbrochen. Wir versuchen es in { $seconds } s noch einmal. Lassen Sie diese Seite geöffnet.
submit-progress-busy = Wir sind zurzeit stark ausgelastet. Wir senden Ihre Fotos in { $seconds } s noch einmal. Lassen Sie diese Seite geöffnet.
submit-progress-failed = Ihre Fotos konnten nicht gesendet werden. Prüfen Sie Ihre Internetverbindung und senden Sie sie dann noch einmal. Wir speichern sie nur einmal.

submit-error-email-required = Bitte geben Sie Ihre E-Mail-Adresse ein.
submit-error-email-invalid = Bitte geben Sie eine gültige E-Mail-Adresse ein, zum Beispiel name@example.org.
submit-error-email-not-supported = An Adressen mit anderen Buchstaben als a bis z vor dem @ können wir keine E-Mails senden. Bitte geben Sie eine andere Adresse ein.
submit-error-comments-invalid = Ihre Anmerkungen enthalten Zeichen, die wir nicht lesen können. Bitte entfernen Sie ungewöhnliche Zeichen.
submit-error-comments-too-long = Ihre Anmerkungen sind zu lang. Bitte kürzen Sie sie auf { $max } Zeichen.
submit-error-consent-required = Bitte lesen Sie den Einwilligungstext und setzen Sie das Häkchen, wenn Sie einwilligen.
submit-error-consent-version-invalid = Bitte lesen Sie den Einwilligungstext noch einmal und setzen Sie das Häkchen, wenn Sie einwilligen.
submit-error-consent-version-not-current = Der Einwilligungstext hat sich geändert. Bitte lesen Sie den neuen Text und setzen Sie das Häkchen, wenn Sie einwilligen.
submit-error-images-required = Bitte wählen Sie mindestens ein Foto aus.
submit-error-images-invalid = Wir konnten Ihre Fotos nicht lesen. Bitte wählen Sie sie noch einmal aus.
submit-error-too-many-images = Sie können höchstens { $max } Fotos senden. Bitte entfernen Sie einige.
submit-error-field-unknown = Wir konnten nicht alle Ihre Fotos lesen. Bitte wählen Sie sie noch einmal aus.
submit-error-image-too-large = Foto { $image } ist größer als { $max } MB. Wählen Sie ein kleineres Foto oder senden Sie einen Screenshot davon.
submit-error-image-empty = Foto { $image } ist eine leere Datei. Bitte wählen Sie das Foto noch einmal aus.
submit-error-image-data-invalid = Foto { $image } konnte nicht gelesen werden. Bitte wählen Sie das Foto noch einmal aus.
submit-error-file-id-not-supported = Foto { $image } konnte nicht gelesen werden. Bitte wählen Sie das Foto noch einmal aus.
submit-error-image-damaged = Foto { $image } ist beschädigt oder unvollständig. Wählen Sie es noch einmal aus oder nehmen Sie ein neues auf.
submit-error-image-too-many-pixels = Foto { $image } hat zu viele Pixel. Wählen Sie ein kleineres Foto oder senden Sie einen Screenshot davon.
submit-error-image-type-not-allowed = { $kind ->
    [heic] Foto { $image } ist ein HEIC-Foto, das wir nicht lesen können. Wählen Sie auf dem iPhone „Einstellungen > Kamera > Formate > Maximale Kompatibilität“ und nehmen Sie das Foto noch einmal auf, oder senden Sie einen Screenshot davon.
    [avif] Foto { $image } ist ein AVIF-Foto, das wir nicht lesen können. Stellen Sie Ihre Kamera auf JPEG um und nehmen Sie das Foto noch einmal auf, oder senden Sie einen Screenshot davon.
    [jpeg-xl] Foto { $image } ist ein JPEG-XL-Foto, das wir nicht lesen können. Stellen Sie Ihre Kamera auf JPEG um und nehmen Sie das Foto noch einmal auf, oder senden Sie einen Screenshot davon.
    [unsupported-jpeg] Foto { $image } ist ein ungewöhnliches JPEG, das wir nicht lesen können. Machen Sie einen Screenshot davon und senden Sie den Screenshot.
    [gif] Datei { $image } ist ein GIF. Senden Sie ein Foto als JPEG, zum Beispiel eines, das Sie mit dem Telefon aufgenommen haben.
    [svg] Datei { $image } ist eine Zeichnung (SVG). Senden Sie ein Foto als JPEG, zum Beispiel eines, das Sie mit dem Telefon aufgenommen haben.
    [other-image] Foto { $image } hat ein Format, das wir nicht lesen können. Speichern Sie es als JPEG oder senden Sie einen Screenshot davon.
    [pdf] Datei { $image } ist ein PDF. Senden Sie stattdessen ein Foto oder einen Screenshot der Seite.
    [video] Datei { $image } ist ein Video. Senden Sie stattdessen ein Foto oder einen Screenshot aus dem Video.
    [web-page] Datei { $image } ist eine Webseite. Speichern Sie das Foto selbst oder senden Sie einen Screenshot davon.
   *[unknown] Datei { $image } ist kein Foto, das wir lesen können. Senden Sie ein JPEG, zum Beispiel ein Foto, das Sie mit dem Telefon aufgenommen haben.
}

submit-problem-busy = Wir sind zurzeit stark ausgelastet. Bitte warten Sie eine Minute und senden Sie Ihre Fotos dann noch einmal.
submit-problem-unavailable = Der Dienst ist vorübergehend nicht erreichbar. Bitte warten Sie eine Minute und senden Sie Ihre Fotos dann noch einmal.
submit-problem-outcome-unknown = Wir konnten nicht rechtzeitig bestätigen, dass Ihre Fotos gespeichert sind. Bitte senden Sie sie noch einmal. Wir speichern sie nur einmal.
submit-problem-internal = Bei uns ist ein Fehler aufgetreten. Bitte senden Sie Ihre Fotos noch einmal. Wenn das Problem weiterhin besteht, versuchen Sie es später.
submit-problem-upload-timeout = Die Übertragung hat zu lange gedauert. Nutzen Sie eine schnellere Verbindung oder kleinere Fotos und senden Sie sie dann noch einmal.
submit-problem-upload-incomplete = Die Übertragung wurde unterbrochen. Bitte senden Sie Ihre Fotos noch einmal.
submit-problem-body-too-large = Ihre Fotos sind zusammen zu groß. Wählen Sie weniger oder kleinere Fotos und senden Sie sie dann noch einmal.
submit-problem-too-many-requests = Sie haben das Formular in kurzer Zeit zu oft gesendet. Bitte warten Sie eine Minute und senden Sie es dann noch einmal.
submit-problem-too-many-open-submissions = Ihre früheren Einsendungen werden noch bearbeitet. Bitte warten Sie auf deren Ergebnisse, bevor Sie weitere Fotos senden.
submit-problem-daily-limit-reached = Für diese E-Mail-Adresse gab es in den letzten 24 Stunden zu viele Einsendungen. Bitte versuchen Sie es morgen noch einmal.
submit-problem-token-revoked = Wir haben diese Fotos bereits erhalten, aber der Zugriff darauf wurde auf dieser Website gesperrt. Das Ergebnis senden wir Ihnen per E-Mail.
submit-problem-idempotency-key-in-use = Ihre Fotos werden bereits verarbeitet. Bitte warten Sie einige Sekunden und senden Sie das Formular dann noch einmal.
submit-problem-idempotency-key-reused = Sie haben dieses Formular bereits mit anderem Inhalt gesendet. Wenn Sie den jetzigen Inhalt als neue Einsendung senden möchten, senden Sie es noch einmal.
submit-problem-invalid-idempotency-key = Wir konnten das Formular nicht lesen. Bitte senden Sie es noch einmal.
submit-problem-invalid-multipart = Wir konnten das Formular nicht lesen. Bitte senden Sie es noch einmal.
submit-problem-form-too-complex = Wir konnten das Formular nicht lesen. Bitte senden Sie es noch einmal.
