submission-title-pending = Ihre Fotos sind bei uns angekommen
submission-title-processing = Ihre Fotos werden untersucht
submission-title-completed = Ihr Ergebnis
submission-title-failed = Wir konnten Ihre Diagnose nicht abschließen
submission-title-failed-by-us = Wir konnten Ihre Diagnose nicht abschließen
submission-title-timed-out = Ihre Diagnose hat zu lange gedauert
submission-title-cancelled = Ihre Einsendung wurde abgebrochen

submission-connection-live = Live
submission-connection-reconnecting = Verbindung wird wiederhergestellt. Letzter Stand: { $time }
submission-connection-offline = Sie sind offline. Letzter Stand: { $time }

submission-received = { $count ->
    [0] Eingegangen:
    [one] 1 Foto eingegangen:
   *[other] { $count } Fotos eingegangen:
}
submission-photo = Foto { $number }
submission-now-title = Was gerade geschieht
submission-since = Seit
submission-progress-done = Erledigt:
submission-progress-current = Jetzt:
submission-progress-upcoming = Danach:
submission-progress-failed = Fehlgeschlagen:
submission-progress-stopped = Beendet:
submission-step-received = Fotos eingegangen
submission-step-restarted = Von unserem Team neu gestartet
submission-step-waiting = Warten auf die Untersuchung
submission-step-waited = Auf die Untersuchung gewartet
submission-step-diagnosis = Untersuchung
submission-step-diagnosing = LoopAI untersucht Ihre Fotos
submission-step-diagnosed = Fotos untersucht
submission-step-begun = Untersuchung begonnen
submission-step-result = Ergebnis, hier und per E-Mail
submission-step-ready = Ergebnis liegt vor
submission-step-failed = Kein Ergebnis
submission-step-timed-out = Beendet, weil es zu lange gedauert hat
submission-step-cancelled = Abgebrochen
submission-cancelling = Ihre Einsendung wird abgebrochen. Das dauert meist nur wenige Sekunden.
submission-paused = Unser Team hat die Diagnosen vorübergehend angehalten. Ihre Fotos sind sicher gespeichert. Nach der Pause geht es automatisch weiter.
submission-queue = { $position ->
    [1] Sie sind als Nächstes an der Reihe.
   *[other] Ihr Platz in der Warteschlange: { $position }
}
submission-queue-text = Zurzeit senden viele Menschen Fotos. Die Untersuchung beginnt automatisch.

submission-time-title = Wie lange dauert es?
submission-time-usual = { $minutes ->
    [1] Meist weniger als eine Minute.
   *[other] Meist weniger als { $minutes } Minuten.
}
submission-time-unknown = Meist wenige Minuten.
submission-time-paused = Wir wissen noch nicht, wie lange die Pause dauert. Sie müssen nichts tun.
submission-time-deadline = Spätestens:
submission-close-title = Kann ich die Seite schließen?
submission-trouble-title = Was ist, wenn etwas schiefgeht?
submission-trouble-text = Dann sagen wir Ihnen hier und per E-Mail, was Sie tun können. Wenn Ihre Beschwerden stark sind oder schlimmer werden, warten Sie nicht auf das Ergebnis, sondern gehen Sie zum Arzt.

submission-email-later = Ja. Wir senden das Ergebnis per E-Mail an { $address }.
submission-email-pending = Wir senden dies so bald wie möglich auch per E-Mail an { $address }.
submission-email-sent = Wir haben dies auch per E-Mail an { $address } gesendet.
submission-email-unknown = Wir haben versucht, dies per E-Mail an { $address } zu senden. Wir wissen aber nicht, ob die E-Mail angekommen ist.
submission-email-failed = Wir konnten keine E-Mail an { $address } senden. Speichern oder drucken Sie diese Seite, wenn Sie sie später brauchen.

submission-ended-failed = Leider konnten wir Ihre Fotos nicht auswerten. Das kann vorkommen, wenn ein Foto zu dunkel oder unscharf ist oder wenn es etwas zeigt, das die Auswertung nicht erkennt.
submission-ended-failed-by-us = Leider ist bei uns ein Fehler aufgetreten, sodass wir Ihre Fotos nicht auswerten konnten. Mit Ihren Fotos ist alles in Ordnung.
submission-ended-timed-out = Leider hat die Auswertung Ihrer Fotos zu lange gedauert, deshalb haben wir sie beendet. Mit Ihren Fotos ist alles in Ordnung.
submission-ended-cancelled = Ihre Einsendung wurde abgebrochen, bevor wir Ihre Fotos fertig auswerten konnten. Es gibt daher kein Ergebnis.
submission-advice-title = Was Sie tun können
submission-advice-failed = Nehmen Sie neue Fotos auf und senden Sie uns diese, oder gehen Sie zum Arzt. Am besten eignen sich scharfe, helle Nahaufnahmen.
submission-advice-failed-by-us = Senden Sie Ihre Fotos später noch einmal, oder gehen Sie zum Arzt. Unser Team sieht, was geschehen ist, und kann Ihre Diagnose neu starten. Dann erhalten Sie eine weitere E-Mail von uns.
submission-advice-timed-out = Senden Sie Ihre Fotos später noch einmal, oder gehen Sie zum Arzt. Unser Team sieht, was geschehen ist, und kann Ihre Diagnose neu starten. Dann erhalten Sie eine weitere E-Mail von uns.
submission-advice-cancelled = Wenn Sie weiterhin eine Diagnose wünschen, senden Sie Ihre Fotos noch einmal. Wenn Sie nicht selbst abgebrochen haben, melden Sie sich bitte bei uns.
submission-again = Fotos noch einmal senden
submission-past-title = Was bisher geschah

submission-result-empty = Ihr Ergebnis enthält keine Zusammenfassung. Unter „Alle Einzelheiten“ können Sie alles lesen, was es enthält.
submission-result-findings = { $count ->
    [one] Ihr Ergebnis enthält 1 Befund.
   *[other] Ihr Ergebnis enthält { $count } Befunde.
}
submission-result-truncated = Dieses Ergebnis ist sehr lang. Diese Seite zeigt deshalb nicht alles. Das heruntergeladene Ergebnis ist vollständig.
submission-findings-title = Befunde
submission-confidence-high = Sicherheit: hoch ({ $percent } %)
submission-confidence-medium = Sicherheit: mittel ({ $percent } %)
submission-confidence-low = Sicherheit: niedrig ({ $percent } %)
submission-confidence-other = Sicherheit: { $text }
submission-confidence-hint = Die Sicherheit zeigt, wie sicher sich die Software ist. Auch ein Befund mit hoher Sicherheit kann falsch sein.
submission-photos-title = Ihre Fotos
submission-recommendations-title = Empfehlungen
submission-software-title = Dieses Ergebnis stammt von einer Software. Es ersetzt keinen Arztbesuch.
submission-software-text = Gehen Sie zum Arzt, wenn Sie sich Sorgen machen, Schmerzen haben oder sich etwas verändert – auch wenn laut Ergebnis alles in Ordnung ist. Rufen Sie im Notfall den Notruf an.
submission-print = Drucken
submission-download = Als JSON herunterladen
submission-details-title = Alle Einzelheiten

submission-data-title = Ihre Daten
submission-data-text = Sie können Ihre Fotos, Ihre Anmerkungen und das Ergebnis jederzeit löschen.
submission-reference = Referenz: { $id }
submission-cancel-action = Diagnose abbrechen
submission-cancel-title = Diagnose abbrechen?
submission-cancel-text = Wir beenden dann die Untersuchung Ihrer Fotos, und Sie erhalten kein Ergebnis. Ihre Fotos bleiben gespeichert, bis Sie sie löschen. Wenn Sie es sich anders überlegen, müssen Sie Ihre Fotos noch einmal senden.
submission-cancel-confirm = Ja, Diagnose abbrechen
submission-cancel-back = Nein, zurück
submission-delete-action = Alles löschen
submission-delete-title = Fotos und Ergebnis löschen?
submission-delete-text = Wir löschen Ihre E-Mail-Adresse, Ihre Anmerkungen, Ihre Fotos und das Ergebnis.
submission-delete-open = Die Untersuchung Ihrer Fotos wird beendet, und Sie erhalten kein Ergebnis.
submission-delete-emails = Wir senden Ihnen keine weiteren E-Mails zu dieser Einsendung. E-Mails, die Sie schon haben, bleiben in Ihrem Postfach.
submission-delete-record = Es bleibt nur ein Vermerk ohne Ihre Daten. Er zeigt, dass es die Einsendung gab und dass sie gelöscht wurde.
submission-delete-final = Das kann niemand rückgängig machen.
submission-delete-confirm = Ja, alles löschen
submission-delete-back = Nein, zurück
submission-delete-email-in-progress = Gerade wird eine E-Mail zu dieser Einsendung gesendet, deshalb kann sie noch nicht gelöscht werden. Bitte warten Sie eine Minute und versuchen Sie es dann noch einmal.

submission-denied-title = Wir können Ihnen diese Einsendung nicht zeigen
submission-denied-text = Zum Schutz Ihrer Daten öffnet sich diese Seite nur in dem Browser, in dem Sie die Fotos gesendet haben. Vielleicht wurde die Einsendung auch gelöscht.
submission-denied-browser = Öffnen Sie die Seite in dem Browser, in dem Sie die Fotos gesendet haben.
submission-denied-email = Wir senden das Ergebnis auch per E-Mail.
submission-denied-link = Wenn Sie einem Link gefolgt sind, ist er möglicherweise abgelaufen. Geben Sie die Adresse der Seite selbst ein.

submission-link-title = Ihre Einsendung öffnen
submission-link-text = Dieser Link funktioniert nur einmal. Benutzen Sie ihn auf dem Gerät, auf dem Sie Ihre Einsendung und das Ergebnis sehen möchten.
submission-link-open = Meine Einsendung öffnen
submission-link-expired-title = Dieser Link ist abgelaufen
submission-link-expired-text = Die Links in unseren E-Mails funktionieren nur für kurze Zeit, damit niemand sonst sie später benutzen kann.
submission-link-used-title = Dieser Link funktioniert nicht mehr
submission-link-used-text = Jeder Link in unseren E-Mails funktioniert nur einmal, damit niemand sonst ihn später benutzen kann.
submission-link-open-again = Ich habe ihn schon in diesem Browser geöffnet: meine Einsendung anzeigen
submission-link-new-text = Wir können Ihnen einen neuen Link an dieselbe E-Mail-Adresse senden.
submission-link-new = Neuen Link senden
submission-link-requested-title = Achten Sie auf unsere E-Mail
submission-link-requested-text = Wir senden den neuen Link an die E-Mail-Adresse Ihrer Einsendung. Er kommt meist innerhalb weniger Minuten an.
submission-link-requested-hint = Wenn er nicht ankommt, sehen Sie bitte im Spam-Ordner nach. Wir senden höchstens drei neue Links innerhalb von 24 Stunden.
