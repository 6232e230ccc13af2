"""The lead that everything here sends, and the visitor it comes from."""

ANSWERS = {
    "name": "Ada Lovelace",
    "email": "ada.lovelace@example.com",
    "phone": "+442079460958",
    "message": "Please call me back about the solar roof for our new office. Mornings suit me best.",
}
TRACKED = {
    "page_url": "https://www.example.com/contact?utm_source=newsletter&utm_campaign=spring",
    "page_title": "Contact us",
    "referrer": "https://www.example.com/solar",
    "utm_source": "newsletter",
    "utm_medium": "email",
    "utm_campaign": "spring",
}
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
