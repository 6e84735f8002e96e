email-result-headline = Ihr Untersuchungsergebnis
email-result-opening = Vielen Dank für Ihre Geduld. Die Auswertung Ihrer Fotos ist abgeschlossen. Hier ist das Ergebnis.
email-result-note = Bitte beachten Sie:
email-result-empty = Zu diesem Ergebnis gibt es keine Zusammenfassung, die wir in einer E-Mail zeigen können. Bitte antworten Sie auf diese E-Mail. Wir erklären Ihnen dann das Ergebnis.
email-result-findings = Was gefunden wurde
email-result-finding = Befund
email-result-confidence = Sicherheit:
email-result-image = Bild { $number }
email-result-recommendations = Was empfohlen wird
email-result-truncated = Das Ergebnis ist zu lang für eine E-Mail. Ein Teil davon fehlt hier. Wenn Sie das ganze Ergebnis möchten, antworten Sie auf diese E-Mail.
email-result-advice = Dieses Ergebnis hat ein Computerprogramm erstellt. Es ersetzt keinen Arztbesuch. Bitte zeigen Sie es Ihrer Ärztin oder Ihrem Arzt. Dort kann man Sie auch untersuchen.

email-ready-headline = Ihr Ergebnis ist da
email-ready-text = Die Auswertung Ihrer Fotos ist abgeschlossen. Um das Ergebnis zu sehen, öffnen Sie diesen Link.

email-failed-headline = Wir konnten Ihre Fotos nicht auswerten
email-failed-text = Leider konnten wir Ihre Fotos nicht auswerten. Das kann vorkommen, wenn ein Foto zu dunkel oder unscharf ist oder etwas zeigt, das die Auswertung nicht erkennt.
email-failed-advice = Bitte machen Sie neue Fotos und senden Sie sie uns, oder gehen Sie zu einer Ärztin oder einem Arzt. Am besten eignen sich scharfe, helle Fotos aus der Nähe. Wenn es auch mit den neuen Fotos nicht klappt, antworten Sie auf diese E-Mail. Wir kümmern uns dann darum.
email-failed-by-us-text = Leider ist bei uns ein Fehler aufgetreten. Deshalb konnten wir Ihre Fotos nicht auswerten. Mit Ihren Fotos ist alles in Ordnung.
email-timed-out-headline = Die Auswertung Ihrer Fotos hat zu lange gedauert
email-timed-out-text = Leider hat die Auswertung Ihrer Fotos zu lange gedauert. Deshalb haben wir sie abgebrochen. Mit Ihren Fotos ist alles in Ordnung.
email-cancelled-headline = Ihre Einsendung wurde abgebrochen
email-cancelled-text = Ihre Einsendung wurde abgebrochen, bevor wir Ihre Fotos fertig auswerten konnten. Deshalb gibt es kein Ergebnis.
email-cancelled-advice = Wenn Sie weiterhin eine Auswertung möchten, senden Sie Ihre Fotos bitte noch einmal. Wenn Sie uns nicht um den Abbruch gebeten haben, antworten Sie bitte auf diese E-Mail.
email-send-again = Bitte senden Sie Ihre Fotos später noch einmal, oder gehen Sie zu einer Ärztin oder einem Arzt. Unser Team kann sehen, was passiert ist, und startet die Auswertung vielleicht neu. In diesem Fall bekommen Sie noch eine E-Mail von uns.

email-new-link-headline = Ihr neuer Link
email-new-link-text = Sie haben einen neuen Link zu Ihrer Einsendung angefordert. Hier ist er.
email-new-link-advice = Öffnen Sie den Link auf dem Gerät, auf dem Sie Ihre Einsendung sehen möchten. Wenn Sie keinen neuen Link angefordert haben, brauchen Sie nichts zu tun.

email-link-open-result = Mein Ergebnis öffnen
email-link-open-submission = Meine Einsendung öffnen
email-link-hint = Der Link funktioniert einmal, innerhalb von { $hours ->
    [one] einer Stunde
   *[other] { $hours } Stunden
}. Danach können Sie auf der Seite, die sich öffnet, einen neuen Link anfordern. Leiten Sie diese E-Mail nicht weiter, denn der Link gibt Zugang zu Ihren Daten.

email-next-steps = Was Sie jetzt tun können
email-emergency = Wenn Sie sich unwohl fühlen oder Ihre Beschwerden schlimmer werden, warten Sie nicht: Rufen Sie in Ihrer Arztpraxis an oder wählen Sie im Notfall den Notruf.
email-data-title = Was mit Ihren Daten geschieht
email-data-result = Wir bewahren Ihre Fotos, Ihre Anmerkungen und dieses Ergebnis auf, bis Sie uns bitten, sie zu löschen{ $days ->
    [0] .
    [one] , aber nicht länger als einen Tag.
   *[other] , aber nicht länger als { $days } Tage.
} Antworten Sie dazu einfach auf diese E-Mail. Ihre Fotos sind nicht in dieser E-Mail enthalten. Die KI-Plattform hat Ihre Fotos und Ihre Anmerkungen erhalten, aber nicht Ihre E-Mail-Adresse.
email-data-all = Wir bewahren Ihre Fotos, Ihre Anmerkungen und das Ergebnis auf, bis Sie uns bitten, sie zu löschen{ $days ->
    [0] .
    [one] , aber nicht länger als einen Tag.
   *[other] , aber nicht länger als { $days } Tage.
} Antworten Sie dazu einfach auf diese E-Mail.
email-data-end = Wir bewahren Ihre Fotos und Ihre Anmerkungen auf, bis Sie uns bitten, sie zu löschen{ $days ->
    [0] .
    [one] , aber nicht länger als einen Tag.
   *[other] , aber nicht länger als { $days } Tage.
} Antworten Sie dazu einfach auf diese E-Mail.
email-reference = Vorgangsnummer: { $id }
